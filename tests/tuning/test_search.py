"""The settings of a search, and which of them may change when it is resumed."""

from dataclasses import replace
from pathlib import Path

import pytest

from lenet.errors import InputError
from lenet.training.teacher import teacher_digest
from lenet.tuning.search import Search, read_search, request_of, resumed_search, wanted_search


def asked_for(**options):
    request = request_of(options.pop("recipe", None), options.pop("given", {}))
    return wanted_search(request, options.pop("space", None), options.pop("trials", None), options)


def test_the_default_is_the_cifar10_study():
    search = asked_for()
    assert (search.trials, search.config.epochs, search.config.model) == (10, 10, "lenet-dropout")
    assert search.space.names == ("batch_size", "lr", "dropout")
    assert (search.metric, search.scheduler, search.searcher) == ("val_accuracy", "asha", "random")
    assert (search.grace_period, search.reduction_factor) == (1, 2)


@pytest.mark.parametrize(
    ("select", "metric"),
    [("accuracy", "val_accuracy"), ("balanced", "val_balanced_accuracy"), ("loss", "val_loss"), ("f1", "val_macro_f1")],
)
def test_trials_are_ranked_by_the_selected_score_unless_a_metric_is_given(select, metric):
    assert asked_for(given={"select": select}).metric == metric
    assert asked_for(given={"select": select}, metric="train_loss").metric == "train_loss"


def test_an_option_that_is_given_is_not_searched():
    search = asked_for(given={"lr": 1e-3})
    assert search.space.names == ("batch_size", "dropout")
    assert search.config.lr == 1e-3


def test_a_search_reads_back_as_it_was_written(tmp_path):
    search = asked_for(space=["lr=loguniform(1e-4,1e-2)", "maps=choice([6,16],[4,8])"], trials=7, metric="val_loss",
                       grace_period=3, reduction_factor=4)  # fmt: skip
    (tmp_path / "search.toml").write_text(search.text())
    assert read_search(tmp_path / "search.toml") == search
    assert read_search(tmp_path / "nothing.toml") is None
    whole = search.text()
    for name in ("metric", "scheduler", "searcher", "keep"):
        lines = [line for line in whole.splitlines() if not line.startswith(f"{name} = ")]
        (tmp_path / "search.toml").write_text("\n".join(lines))
        with pytest.raises(InputError, match=rf"search.toml is damaged \({name} is missing\)"):
            read_search(tmp_path / "search.toml")
    (tmp_path / "search.toml").write_text("trials = 3")
    with pytest.raises(InputError, match="damaged"):
        read_search(tmp_path / "search.toml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials must be"),
        ({"metric": "val_acc"}, "did you mean 'val_accuracy'"),
        ({"scheduler": "ashe"}, "did you mean 'asha'"),
        ({"searcher": "rand"}, "did you mean 'random'"),
        ({"searcher": "grid"}, "cannot try all of lr"),
        ({"confirm": -1}, "confirm must be"),
        ({"grace_period": 0}, "grace-period must be"),
        ({"reduction_factor": 1}, "reduction-factor must be a whole number between 2"),
        ({"trials": "5"}, "trials must be a whole number between 1 and 100000, not '5'"),
        ({"gpus_per_trial": 1.5}, "gpus-per-trial must be a fraction of at most 1, or a whole number"),
        ({"gpus_per_trial": 65}, "gpus-per-trial must be a fraction of at most 1, or a whole number of at most 64"),
        ({"gpus_per_trial": float("nan")}, "gpus-per-trial must be .*, not nan"),
        ({"gpus_per_trial": "half"}, "gpus-per-trial must be .*, not 'half'"),
        ({"scheduler": "none", "grace_period": 2}, "grace-period changes nothing with --scheduler none"),
        ({"given": {"seeds": 2}}, "one network"),
        ({"given": {"threads": 2}}, "one thread"),
        ({"given": {"lr": 1e-3}, "space": ["lr=choice(1)"]}, "both searched and given"),
        ({"recipe": "cifar"}, "no recipe"),
        ({"recipe": "漢" * 100}, "no recipe"),
        ({"searcher": "grid", "space": ["batch_size=uniform(1, 65536)", "lr=choice(1, 2)"]}, "would try 131,072 comb"),
        ({"searcher": "grid", "space": ["lr=choice(1, 2)"], "trials": 3}, "all 2 combinations"),
    ],
)
def test_impossible_searches_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        asked_for(**options)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_space_may_be_the_path_of_a_file(tmp_path, kind):
    (tmp_path / "space.toml").write_text('lr = "choice(0.1, 0.2)"')
    assert asked_for(space=kind(tmp_path / "space.toml")).space.names == ("lr",)


def test_a_grid_has_one_trial_per_combination():
    search = asked_for(searcher="grid", space=["lr=choice(1e-3, 1e-2)", "batch_size=choice(4, 8, 16)"])
    assert search.trials == 6
    with pytest.raises(InputError, match="all 6 combinations"):
        search.extended(9)


def test_trials_can_be_added_but_not_removed():
    search = asked_for(trials=4)
    assert search.extended(None) is search.extended(4) is search
    assert search.extended(10).trials == 10
    with pytest.raises(InputError, match="4 trials already"):
        search.extended(3)


def test_a_resumed_search_keeps_its_settings(tmp_path):
    saved = asked_for(trials=4)

    def again(given=None, asked=None, recipe=None):
        return resumed_search(tmp_path, saved, saved, request_of(recipe, given or {}), asked or {}, None)

    assert again() == saved
    assert again(given={"epochs": 10}, asked={"metric": "val_accuracy"}) == saved
    assert again(asked={"confirm": 2, "keep": 1}) == replace(saved, confirm=2, keep=1)
    for changed in ({"given": {"epochs": 5}}, {"asked": {"searcher": "tpe"}}, {"given": {"lr": 1.0}}):
        with pytest.raises(InputError, match="started with other settings"):
            again(**changed)
    other = asked_for(space=["lr=choice(1)"])
    with pytest.raises(InputError, match="space"):
        resumed_search(tmp_path, saved, other, request_of(None, {}), {}, ["lr=choice(1)"])
    with pytest.raises(InputError, match="other settings"):
        again(recipe="cifar100-tuned")


def test_a_search_on_gpus_is_resumed_on_gpus(tmp_path):
    saved = asked_for(gpus_per_trial=0.25)
    assert saved.config.device == "cuda"
    path = tmp_path / "search.toml"
    path.write_text(saved.text())
    assert read_search(path).gpus_per_trial == 0.25

    def again(of, **asked):
        return resumed_search(tmp_path, of, asked_for(**asked), request_of(None, {}), asked, None)

    assert again(saved).gpus_per_trial == 0.25
    assert again(saved, gpus_per_trial=1).gpus_per_trial == 1
    with pytest.raises(InputError, match="device cpu -> cuda"):
        again(asked_for(), gpus_per_trial=0.25)


def test_the_command_of_a_search_resumes_it(tmp_path, monkeypatch):
    (tmp_path / "recipe.toml").write_text("epochs = 3\nlr = 0.01\n")
    recipe = tmp_path / "recipe.toml"
    saved = asked_for(recipe=recipe, given={"teacher": str(tmp_path / "run")})
    assert saved.config.epochs == 10
    monkeypatch.chdir(tmp_path)
    for given in ({}, {"teacher": "run"}, {"epochs": 10}):
        assert resumed_search(tmp_path, saved, saved, request_of(recipe, given), {}, None) == saved
    with pytest.raises(InputError, match="epochs 10 -> 3"):
        resumed_search(tmp_path, saved, saved, request_of(recipe, {"epochs": 3}), {}, None)
    with pytest.raises(InputError, match="teacher: no run at other"):
        resumed_search(tmp_path, saved, saved, request_of(recipe, {"teacher": "other"}), {}, None)


def test_a_resumed_search_finds_teachers_that_have_moved_and_no_others(tmp_path, digits_run):
    search = asked_for(given={"teacher": "gone"})
    saved = replace(search, config=replace(search.config, teacher_sha256=teacher_digest([str(digits_run.path)])))
    request = request_of(None, {"teacher": str(digits_run.path)})
    found = resumed_search(tmp_path, saved, saved, request, {}, None).config
    assert found == replace(saved.config, teacher=(str(digits_run.path),))
    other = replace(saved, config=replace(saved.config, teacher_sha256="0" * 64))
    with pytest.raises(InputError, match="other settings"):
        resumed_search(tmp_path, other, other, request, {}, None)


def test_the_sign_of_a_metric():
    assert asked_for().sign == 1
    assert asked_for(metric="val_loss").sign == -1
    assert isinstance(asked_for(), Search)
