"""The table of runs: finished, interrupted, running and damaged ones."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

import lenet as package
from lenet.config import Config
from lenet.files import locked
from lenet.runs.run import Run
from lenet.tuning.search import Search
from lenet.tuning.space import parse_space


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory):
    """The folder of a run of two networks that was interrupted."""
    folder = tmp_path_factory.mktemp("stopped") / "run"

    def stop(setup, trainings):
        if min(training.epoch for training in trainings) >= 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        package.train("digits", epochs=200, seeds=2, out=folder, watch=stop)
    return folder


@pytest.fixture
def some_runs(digits_run, stopped_run, tmp_path):
    """A folder with a finished run, an interrupted one, a damaged one, a study's folder, and others."""
    folder = tmp_path / "runs"
    shutil.copytree(digits_run.path, folder / "0001")
    shutil.copytree(stopped_run, folder / "0002")
    shutil.copytree(digits_run.path, folder / "0003")
    (folder / "0003" / "result.json").write_text("{}")
    shutil.copytree(digits_run.path, folder / "study" / "one")
    (folder / "notes").mkdir()
    (folder / "readme.txt").touch()
    for age, name in ((100, "0001/result.json"), (50, "0002/metrics.csv")):
        past = (folder / name).stat().st_mtime - age
        os.utime(folder / name, (past, past))
    return folder


def test_each_run_has_a_row(some_runs, lenet):
    outcome = lenet("runs", some_runs)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["run", "data", "model", "ep.", "n", "val", "%", "test", "%", "date", "time"]
    name, data, model, epochs, networks = lines[1].split()[:5]
    assert (name, data, model, networks) == ("0002", "digits", "lenet5-modern", "2")
    assert re.fullmatch(r"[1-9]\d*/200", epochs)
    assert "interrupted" in lines[1]
    assert lines[2].split()[:5] == ["0001", "digits", "lenet5-modern", "2", "2"]
    assert max(map(len, lines[:3])) <= 80
    assert f"resume  lenet train --resume --out {some_runs / '0002'}" in lines
    assert any(line.startswith("damaged 0003: ") and "result.json is damaged" in line for line in lines)
    assert f"more    1 run in study: lenet runs {some_runs / 'study'}" in lines


def test_as_json(some_runs, lenet, digits_run):
    found = json.loads(lenet("runs", some_runs, "--json").out)
    assert [run["name"] for run in found["runs"]] == ["0002", "0001"]
    stopped, finished = found["runs"]
    assert finished["test_accuracy"] == digits_run.finished_result()["test_accuracy"]
    assert (finished["state"], finished["resume"]) == ("finished", None)
    assert (stopped["state"], stopped["epochs"], stopped["seeds"]) == ("interrupted", 200, 2)
    assert 1 <= stopped["done"] < 200
    best = [max(row.val_accuracy for row in Run(some_runs / "0002").rows() if row.seed == seed) for seed in (0, 1)]
    assert stopped["val_accuracy"]["each"] == best
    assert stopped["test_accuracy"] is None
    assert list(found["damaged"]) == ["0003"]
    assert found["groups"] == {"study": 1}


def test_a_run_that_is_training_is_not_interrupted(some_runs):
    with locked(some_runs / "0002", wait=False):
        assert package.list_runs(some_runs).runs[0].state == "running"


def test_a_folder_that_cannot_be_listed_is_named(some_runs, monkeypatch):
    (some_runs / "closed").mkdir()
    listed = Path.iterdir

    def refuse(path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    found = package.list_runs(some_runs)
    assert "Permission denied" in found.damaged["closed"]
    assert found.runs


@pytest.mark.parametrize("name", ["config.toml", "metrics.csv", "state/clock.json"])
def test_a_damaged_file_of_an_interrupted_run_is_named(some_runs, name):
    (some_runs / "0002" / name).write_bytes(b"\xff\x00")
    assert name.split("/")[-1] in package.list_runs(some_runs).damaged["0002"]


def test_searches(digits_run, lenet, tmp_path):
    finished, stopped = (Path(shutil.copytree(digits_run.path, tmp_path / name)) for name in ("0001", "0002"))
    for folder in (finished, stopped):
        config = Config(data="digits", epochs=3)
        search = Search(config, parse_space({"lr": "loguniform(0.001, 0.1)"}))
        (folder / "search.toml").write_text(search.text())
    result = json.loads((finished / "result.json").read_text()) | {"members": 0, "test_accuracy": None}
    (finished / "result.json").write_text(json.dumps(result))
    (stopped / "result.json").unlink()
    found = {run.path.name: run for run in package.list_runs(tmp_path).runs}
    assert found["0001"].kind == found["0002"].kind == "search"
    assert (found["0002"].state, found["0002"].epochs, found["0002"].seeds) == ("interrupted", 3, 5)
    assert found["0002"].resume == f"lenet tune --resume --out {stopped}"
    assert found["0002"].seconds == digits_run.clock().total
    lines = lenet("runs", tmp_path).out.splitlines()
    assert {line.split()[0] for line in lines[1:3]} == {"0001*", "0002*"}
    assert lines[3] == "*       a hyperparameter search"
    (stopped / "search.toml").write_text("trials = 3")
    assert "search.toml is damaged" in package.list_runs(tmp_path).damaged["0002"]


def test_runs_are_sorted_and_chosen(some_runs, lenet, refused):
    def names(*options):
        return [run["name"] for run in json.loads(lenet("runs", some_runs, "--json", *options).out)["runs"]]

    better = some_runs / "0004"
    shutil.copytree(some_runs / "0001", better)
    result = json.loads((better / "result.json").read_text())
    for key in ("val_accuracy", "test_accuracy"):
        result[key]["mean"] = 1.0
    result["config"]["model"] = "lenet5"
    result["seconds"]["total"] += 1000
    (better / "result.json").write_text(json.dumps(result))
    past = (some_runs / "0001" / "result.json").stat().st_mtime - 100
    os.utime(better / "result.json", (past, past))
    assert names() == ["0002", "0001", "0004"]
    assert names("--sort", "name") == ["0001", "0002", "0004"]
    assert names("--sort", "val")[0] == "0004"
    assert names("--sort", "test") == ["0004", "0001", "0002"]
    assert names("--sort", "time")[-1] == "0004"
    assert names("--model", "lenet5") == ["0004"]
    assert names("--data", "digits", "--state", "interrupted") == ["0002"]
    assert (
        "hidden  2 runs, by --data, --model or --state"
        in lenet("runs", some_runs, "--state", "interrupted").out.splitlines()
    )
    assert (
        lenet("runs", some_runs, "--state", "running").out.splitlines()[0]
        == "hidden  3 runs, by --data, --model or --state"
    )
    refused(lenet("runs", some_runs, "--data", "digit"), "has data 'digit', did you mean 'digits'?")
    refused(lenet("runs", some_runs, "--sort", "best"), "best")
    with pytest.raises(package.InputError, match="unknown sort 'vall', did you mean 'val'"):
        package.list_runs(some_runs, sort="vall")


@pytest.mark.parametrize("value", [3, True, ["digits"], {"a": 1}, b"digits"], ids=repr)
@pytest.mark.parametrize("name", ["sort", "data", "model", "state"])
def test_what_is_no_text_is_refused(some_runs, name, value):
    with pytest.raises(package.InputError, match=f"^{name} takes text, not {re.escape(repr(value))}$"):
        package.list_runs(some_runs, **{name: value})


def test_folders_without_runs(lenet, refused, digits_run, monkeypatch):
    assert lenet("runs").out == "no runs in runs: 'lenet train' makes one\n"
    refused(lenet("runs", "none"), "no folder none")
    refused(lenet("runs", digits_run.path), "is a run", str(digits_run.path.parent))
    monkeypatch.chdir(digits_run.path)
    refused(lenet("runs", "."), f"give the folder of its runs, {digits_run.path.parent}")


def test_an_unfinished_run_says_of_how_many_networks_its_mean_is(stopped_run, tmp_path, lenet):
    copy = shutil.copytree(stopped_run, tmp_path / "runs" / "0001")
    lines = (copy / "metrics.csv").read_text().splitlines(keepends=True)
    (copy / "metrics.csv").write_text("".join(line for line in lines if not line.startswith("1,")))
    row = lenet("runs", tmp_path / "runs").out.splitlines()[1]
    assert "0/200 1 of 2" in row


def test_trials_that_a_search_kept_are_finished_and_a_search_without_confirmation_has_no_accuracy(
    digits_run, tmp_path, lenet, refused
):
    folder = tmp_path / "runs"
    trial, search = folder / "trial", folder / "search"
    trial.mkdir(parents=True)
    for name in ("model.json", "model.safetensors"):
        shutil.copy(digits_run.path / name, trial / name)
    shutil.copytree(digits_run.path, search)
    shutil.copy(digits_run.path / "config.toml", search / "search.toml")
    result = json.loads((search / "result.json").read_text())
    result |= {"members": 0, "test_accuracy": None, "parameters": None}
    (search / "result.json").write_text(json.dumps(result))
    found = {run.path.name: run for run in package.list_runs(folder).runs}
    assert (found["trial"].state, found["trial"].resume, found["trial"].seeds) == ("finished", "", 2)
    assert found["trial"].val_accuracy["mean"] == pytest.approx(digits_run.result["val_accuracy"]["mean"])
    assert (found["search"].val_accuracy, found["search"].seeds) == (None, 0)
    refused(lenet("compare", digits_run.path, trial), "is a trial that a search kept")
    refused(lenet("compare", "--markdown", search), "is a search without confirmation, which has no test result")
    shutil.copy(digits_run.path / "config.toml", trial / "config.toml")
    refused(lenet("train", "--resume", "--out", trial), "is a trial that a search kept")
    (tmp_path / "empty").mkdir()
    refused(lenet("compare", digits_run.path, tmp_path / "empty"), "is no run: give the folder of one")


def test_a_run_whose_networks_all_diverged_cannot_be_resumed(lenet, tmp_path, refused):
    words = ("train", "digits", "--epochs", 2, "--seeds", 2, "--lr", 60, "--out", tmp_path / "runs" / "a")
    refused(lenet(*words), "the loss is no longer finite", "lower --lr")
    (listed,) = package.list_runs(tmp_path / "runs").runs
    assert (listed.state, listed.resume) == ("diverged", "")
    outcome = lenet("runs", tmp_path / "runs")
    assert " diverged " in outcome.out
    assert "resume" not in outcome.out
    why = f"{tmp_path / 'runs' / 'a'} has no network: the loss of all stopped being finite; train again with a lower"
    for words in (("report",), ("eval",), ("transfer",), ("predict",)):
        more = ("digits",) if words == ("transfer",) else ("image.png",) if words == ("predict",) else ()
        refused(lenet(*words, tmp_path / "runs" / "a", *more), why)


@pytest.mark.parametrize(("columns", "left_out"), [(80, []), (60, ["ep.", "date", "time"]), (40, ["data", "date"])])
def test_a_narrow_table_keeps_the_run_and_its_accuracies(some_runs, lenet, monkeypatch, columns, left_out):
    monkeypatch.setenv("COLUMNS", str(columns))
    header, first, *_ = lenet("runs", some_runs).out.splitlines()
    assert all(name in header for name in ("run", "val %", "test %"))
    assert not {name for name in left_out if f" {name}" in header}
    assert "…" not in header + first
    assert max(len(header), len(first)) <= columns
