"""Reading studies: TOML lists of runs, and their errors."""

import pytest

from lenet.config.recipes import names_of
from lenet.config.studies import STUDIES, Study, read_study
from lenet.errors import InputError

GOOD = """
seeds = 2
title = "Small and large"
compare = [["small", "large-8"]]
[all]
data = "digits"
epochs = 3
[runs.small]
model = "lenet5"
epochs = 1
[runs.large]
transfer = "small"
label = "from the small one"
fit = "pad"
vary = { per_class = [8, 16] }
"""


@pytest.fixture
def read(tmp_path):
    """A function that reads a study from its text."""

    def read(text) -> Study:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return read_study(path)

    return read


def test_a_study_lists_its_runs_in_order(read):
    study = read(GOOD)
    assert (study.name, study.title, study.seeds, study.compare) == (
        "mine",
        "Small and large",
        2,
        (("small", "large-8"),),
    )
    assert [entry.name for entry in study.entries] == ["small", "large-8", "large-16"]
    assert study.entries[0].options == {"data": "digits", "epochs": 1, "model": "lenet5"}
    assert study.entries[2].options == {"data": "digits", "epochs": 3, "fit": "pad", "per_class": 16}
    assert [entry.transfer for entry in study.entries] == [None, "small", "small"]
    assert study.entries[1].label == "from the small one"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = 2", "seed = 2", "no key 'seed', did you mean 'seeds'"),
        ("seeds = 2", "seeds = 0", "seeds must lie between 1 and 1,000"),
        ("seeds = 2", "seeds = [", "is not TOML"),
        ("[runs.small]", "[run.small]", "no key 'run', did you mean 'runs'"),
        ("epochs = 1", "epoch = 1", "runs.small: no option 'epoch', did you mean 'epochs'"),
        ("epochs = 1", "epochs = 0", "runs.small: epochs must lie between"),
        ("epochs = 1", "seeds = 3", "runs.small: seeds is set once, at the top of the study"),
        ("epochs = 1", 'start = "runs/1"', "runs.small: start cannot be set here: name an earlier run in transfer"),
        ('transfer = "small"', 'transfer = "smal"', "no earlier run 'smal' to start from, did you mean 'small'"),
        ('transfer = "small"', 'transfer = "large"', "no earlier run 'large' to start from"),
        ('transfer = "small"', "transfer = 3", "transfer takes text, not 3"),
        ("epochs = 1", 'transfer = "big"', "runs.small: no earlier run 'big' to start from"),
        (
            'fit = "pad"',
            'recipe = "cifar10-lent"',
            "runs.large: no recipe 'cifar10-lent', did you mean 'cifar10-lenet'",
        ),
        ("[8, 16]", "[8, 8]", "two runs have the name 'large-8'"),
        ("[8, 16]", "8", "vary takes one option with a list of values"),
        ("vary = { per_class = [8, 16] }", "vary = { seeds = [1, 2] }", "seeds is set once"),
        ("vary = { per_class = [8, 16] }", 'vary = { start = ["runs/a"] }', "start cannot be set here"),
        ("vary = { per_class = [8, 16] }", 'vary = { model = ["a/b"] }', "cannot be part of a run's name"),
        ("[8, 16]", "[]", "vary takes one option with a list of values"),
        ("{ per_class = [8, 16] }", "[]", "vary takes one option with a list of values"),
        ("{ per_class = [8, 16] }", "{}", "vary takes one option with a list of values"),
        ('"large-8"]]', '"small"]]', "compare: 'small' is compared with itself"),
        ("[8, 16]", '["many"]', "per-class takes a whole number"),
        ('"large-8"]]', '"large"]]', "compare: no run 'large', did you mean 'large-8'"),
        ('[["small", "large-8"]]', '[["small"]]', "compare takes pairs of runs"),
        ("[runs.large]", '[runs."../large"]', "runs.../large must be a table whose name has only letters"),
        ("[runs.large]", '[runs.".."]', "runs... must be a table whose name"),
        ("[runs.large]", '[runs."study.json"]', "and is not study.json or settings.json"),
    ],
)
def test_an_invalid_study_is_refused_in_one_line(read, old, new, message):
    assert old in GOOD
    with pytest.raises(InputError) as error:
        read(GOOD.replace(old, new, 1))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_may_spell_an_option_of_all_runs_in_another_way(read):
    study = read('[all]\nbatch-size = 32\ndata = "digits"\n[runs.a]\nbatch_size = 16\n[runs.b]\n')
    assert [entry.options["batch_size"] for entry in study.entries] == [16, 32]


def test_a_study_without_runs_or_without_a_file_is_refused(read, tmp_path):
    with pytest.raises(InputError, match="lists no runs"):
        read("seeds = 2")
    with pytest.raises(InputError, match="no study 'cifar100', did you mean 'cifar100-stl10'"):
        read_study("cifar100")
    with pytest.raises(InputError, match="no study file"):
        read_study(tmp_path / "other.toml")


@pytest.mark.parametrize("name", names_of(STUDIES))
def test_the_packaged_studies_can_be_read(name):
    study = read_study(name)
    assert study.seeds > 1
    assert study.compare


def test_the_cifar100_study_has_the_published_settings():
    study = read_study("cifar100-stl10")
    runs = {entry.name: entry for entry in study.entries}
    for entry in runs.values():
        chosen = {name: entry.options[name] for name in ("optimizer", "lr", "schedule", "batch_size", "augment")}
        assert chosen == {"optimizer": "adam", "lr": 1e-3, "schedule": "constant", "batch_size": 64, "augment": "none"}
    assert [runs[name].options["epochs"] for name in ("vanilla-10", "vanilla", "tuned", "stl10")] == [10, 20, 20, 10]
    assert runs["stl10"].transfer == "tuned"
    assert runs["stl10"].options["protocol"] == "study"
    changes = ("relu", "max-pool", "batch-norm", "fc")
    assert {f"{way}-{change}" for way in ("plus", "minus") for change in changes} <= set(runs)
