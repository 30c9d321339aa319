"""The report of a search: finished, interrupted, damaged."""

import json
import re
import shlex
from importlib.util import find_spec

import pytest

import lenet as package
from lenet.errors import InputError
from lenet.tuning.contents import search_contents
from lenet.tuning.folder import how_to_search
from lenet.tuning.report import search_page
from lenet.tuning.search import read_search, request_of, wanted_search

needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason='no optuna here: pip install "lenet[tune]"')


def page_of(folder):
    return search_page(search_contents(folder, folder / "report.html")).decode()


def section(text, name):
    return re.search(rf'<section id="{name}".*?\n</section>', text, re.DOTALL)[0]


def rows_of(text):
    body = re.search(r"<tbody>(.*?)</tbody>", text)[1]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]


def test_a_finished_search(search_folder, digits_run):
    folder, figures = search_folder(), digits_run.finished_result()
    (folder / "keep" / "11").mkdir(parents=True)
    (folder / "keep" / "11" / "report.html").touch()
    text = page_of(folder)
    assert f"{100 * figures['test_accuracy']['mean']:.1f}% ± " in section(text, "result")
    assert "11 epoch" not in text
    trials = rows_of(section(text, "trials"))
    assert len(trials) == 12
    # trial 9 trained 3 epochs, to 0.3 + 9 / 40 + 3 / 50; trial 11 one, to 0.3 + 11 / 40 + 1 / 50
    assert trials[0] == [
        '<a href="keep/11/report.html">11</a>', "0.05623", "cosine", "0.2", "stopped", "1", "1", "59.5%", "1.0 s"
    ]  # fmt: skip
    assert trials[1][0] == "9"
    assert trials[-1][4] == "failed: &lt;b&gt;no"
    again = rows_of(section(text, "confirmation"))
    difference = 100 * (figures["val_accuracy"]["mean"] - 0.595)
    assert again[0][1] == "59.5%"
    assert again[0][3:] == ["2", f"{difference:+.1f} points"]
    assert section(text, "values").count('<svg class="chart"') == 3
    assert section(text, "values").count('<circle class="best"') == 2 * 3  # with the legend's
    assert "not finished" not in text


@needs_optuna
def test_what_mattered(search_folder):
    folder = search_folder()
    found = search_contents(folder, folder / "report.html").importance
    assert (found.epoch, found.trials) == (1, 11)
    assert set(found.options) == {"lr", "schedule", "dropout"}
    assert max(found.options, key=found.options.get) == "lr"
    text = section(page_of(folder), "importance")
    assert text.count('class="bar"') == 3
    assert f"lr: {100 * found.options['lr']:.0f}%" in text


def test_too_few_trials_say_nothing(search_folder):
    folder = search_folder(finished=False, over=6)
    assert "importance" in search_contents(folder, folder / "report.html").missing


def test_an_interrupted_search_shows_what_there_is(search_folder):
    folder = search_folder(finished=False, over=6)
    text = page_of(folder)
    assert "was interrupted: 6 of 12 trials have ended" in section(text, "result")
    assert f"lenet tune --resume --out {folder}" in section(text, "result")
    assert "Validation accuracy of the best trial" in section(text, "result")
    assert len(rows_of(section(text, "trials"))) == 6
    assert "Left out." in section(text, "confirmation")


def test_a_search_of_which_all_trials_failed_offers_nothing_to_resume(search_folder):
    folder = search_folder(finished=False)
    table = (folder / "trials.csv").read_text()
    (folder / "trials.csv").write_text(re.sub(",(finished|stopped),", ",failed,", table))
    text = page_of(folder)
    assert "All trials failed" in section(text, "result")
    assert "--resume" not in text
    assert "nothing to confirm" in section(text, "confirmation")
    (listed,) = package.list_runs(folder.parent).runs
    assert (listed.state, listed.resume) == ("failed", "")


def test_a_search_without_trials(search_folder):
    folder = search_folder(finished=False, over=6)
    (folder / "trials.csv").unlink()
    for path in (folder / "trials").iterdir():
        path.unlink()
    text = page_of(folder)
    assert "No trial has a score yet" in section(text, "result")
    assert rows_of(section(text, "trials")) == []


def test_without_confirmation(search_folder):
    folder = search_folder()
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"members": 0, "test_accuracy": None}))
    text = page_of(folder)
    assert "optimistically biased" in section(text, "result")
    assert "--confirm 0" in section(text, "confirmation")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("search.toml", lambda text: text.replace("trials = 12", "")),
        ("search.toml", lambda text: text[: len(text) // 2] + "["),
        ("trials.csv", lambda text: text.replace("finished", "done")),
        ("trials.csv", lambda text: text.replace("torch", "torch,")),
        ("trials.csv", lambda text: "\n".join(line for line in text.split("\n") if ",0,2," not in line)),
        ("trials.csv", lambda text: text.replace("0.32", '"[1]"', 1)),
        ("trials.csv", lambda text: text[:400] + "\0" + text[400:]),
        ("trials/3.toml", lambda text: "lr = 'fast'"),
        ("trials/3.toml", lambda text: re.sub(r"(?m)^lr = .*", "lr = 0.05", text)),
        ("result.json", lambda text: "{}"),
    ],
)
def test_damage_is_named_in_one_line(search_folder, file, change):
    folder = search_folder()
    path = folder / file
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before
    with pytest.raises(InputError) as error:
        page_of(folder)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trial_without_its_recipe_is_listed_without_values(search_folder):
    folder = search_folder()
    (folder / "trials" / "11.toml").unlink()
    text = page_of(folder)
    assert rows_of(section(text, "trials"))[0][:4] == ["11", "–", "–", "–"]
    assert "--recipe" not in re.sub("--recipe none", "", section(text, "repeat"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metric": "val_loss", "scheduler": "none", "confirm": 0},
        {"searcher": "tpe", "grace_period": 2, "reduction_factor": 3, "keep": 1},
        {"gpus_per_trial": 0.25, "device": "cuda"},
        {"gpus_per_trial": 2, "device": "cuda:1"},
    ],
)
def test_the_command_of_a_search_starts_the_same_search(search_folder, monkeypatch, lenet, changes):
    search = read_search(search_folder(finished=False, **changes) / "search.toml")
    command = how_to_search(search)
    asked = {}
    monkeypatch.setattr("lenet.commands.tune.tune", lambda data, **options: asked.update(options, data=data))
    assert lenet(*shlex.split(command)[1:]).code == 0
    own = {name: asked.pop(name) for name in ("space", "trials", "recipe")}
    about = ("metric", "scheduler", "grace_period", "reduction_factor", "confirm", "keep", "gpus_per_trial")
    settings = {name: asked.pop(name) for name in about} | {"searcher": asked.pop("search")}
    for name in ("workers", "address", "out", "resume", "overwrite", "verbose"):
        asked.pop(name)
    request = request_of(own["recipe"], asked)
    given = {name: value for name, value in settings.items() if value is not None}
    again = wanted_search(request, own["space"], own["trials"], given)
    assert (again, again.gpus_per_trial) == (search, search.gpus_per_trial)


def test_the_command_that_was_given_is_shown_unless_it_resumed(search_folder):
    folder = search_folder()
    result = json.loads((folder / "result.json").read_text())
    for given, shown in (
        ("lenet tune digits --trials 12 --out runs/x", "lenet tune digits --trials 12"),
        ("lenet tune --resume --out runs/x", "lenet tune digits --recipe none"),
        ("lenet tune 'digits", "lenet tune digits --recipe none"),
    ):
        (folder / "result.json").write_text(json.dumps(result | {"command": given}))
        assert search_contents(folder, folder / "report.html").command.startswith(shown)


def test_test_images_that_the_teachers_knew_are_named(search_folder):
    folder = search_folder()
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"test_images_seen": 158}))
    assert "158 of the 180 test images were used to train or validate" in section(page_of(folder), "result")


def test_what_names_contain_is_text(search_folder):
    text = package.write_report(search_folder("<i>&")).file.read_text(encoding="utf-8")
    assert "<i>" not in text
    assert "&lt;i&gt;&amp;" in text
