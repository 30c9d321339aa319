"""lenet study: trains all runs of a list, keeps finished ones, and compares them."""

import contextlib
import io
import json
import shutil

import pytest

import lenet as api
from lenet.config import resolve
from lenet.files import check_made_here
from lenet.runs.run import Run

STUDY = """
title = "Small"
seeds = 2
compare = [["scratch-10", "last-10"], ["low", "last-10"]]
[all]
data = "digits"
model = "lenet5-tuned"
batch_size = 32
epochs = 2
optimizer = "adam"
"""


RUNS = ("low", "last-10", "last-20", "scratch-10")


@pytest.fixture(scope="module")
def made(runs_of_study, tmp_path_factory):
    """(the study's file, the folder of its runs, the printed text, the returned comparison)."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.toml").write_text(STUDY + runs_of_study)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        comparison = api.study(folder / "small.toml", out=folder / "made", verbose=True)
    return folder / "small.toml", folder / "made", printed.getvalue(), comparison


def test_study_trains_and_compares_its_runs(made):
    _, folder, printed, comparison = made
    config = {name: resolve(folder / name / "config.toml") for name in RUNS}
    started = dict.fromkeys(("last-10", "last-20"), str(folder / "low"))
    assert {name: one.start for name, one in config.items()} == dict.fromkeys(RUNS) | started
    assert config["last-20"].per_class == 20
    assert config["last-10"].freeze == "all-but-last"
    assert all(one.seeds == 2 for one in config.values())
    assert "[2 of 4] last-10" in printed
    assert "epoch 1/2" not in printed  # epochs are not shown if the output is not a terminal
    assert "last-10 and low have different images or labels: no paired difference" in printed
    found = json.loads((folder / "study.json").read_text())
    assert list(found["runs"]) == list(comparison.runs) == list(RUNS)
    assert list(comparison.pairs) == [("scratch-10", "last-10")]
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [("scratch-10", "last-10")]
    for picture in ("accuracy.png", "per-class.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    table = [line for line in printed.splitlines() if line.startswith(("run ", *RUNS)) and "minus" not in line]
    assert max(map(len, table[:5])) <= 80


def test_interrupted_study_is_resumed_and_finished_runs_are_kept(lenet, made):
    study, folder, *_ = made
    first = json.loads((folder / "study.json").read_text())
    shutil.rmtree(folder / "scratch-10")
    (folder / "last-20" / "result.json").unlink()
    before = (folder / "low" / "result.json").stat().st_mtime_ns
    assert lenet("study", study, "--out", folder).code == 0
    assert (folder / "low" / "result.json").stat().st_mtime_ns == before
    again = json.loads((folder / "study.json").read_text())
    for name, result in first["runs"].items():
        assert again["runs"][name]["test_accuracy"] == result["test_accuracy"]
    assert again["pairs"] == first["pairs"]


def test_ctrl_c_names_the_interrupted_run(lenet, made, interrupt_after):
    study, folder, *_ = made
    shutil.rmtree(folder / "scratch-10")
    with interrupt_after(1):
        outcome = lenet("study", study, "--out", folder)
    assert outcome.code == 130
    assert outcome.err == "lenet: stopped in scratch-10; the same command resumes the study\n"
    assert lenet("study", study, "--out", folder).code == 0


def test_other_settings_are_refused_with_the_name_of_the_run(lenet, made):
    study, folder, *_ = made
    outcome = lenet("study", study, "--out", folder, "--seeds", 1)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "low: " in outcome.err
    assert "seeds 2 -> 1" in outcome.err


def test_a_finished_run_of_other_settings_is_not_taken_for_the_study_s(lenet, tmp_path):
    study, folder = tmp_path / "my.toml", tmp_path / "made"
    rest = 'data = "digits"\nepochs = 1\n[runs.low]\n{}[runs.high]\ntransfer = "low"\n'

    def trained(options):
        study.write_text("[all]\n" + rest.format(options))
        return lenet("study", study, "--out", folder)

    assert trained("lr = 0.01\n").code == 0
    outcome = trained("lr = 0.01\nweight_decay = 0.1\n")
    assert "weight_decay 0.0005 -> 0.1" in outcome.err
    assert trained("lr = 0.01\n").code == 0, "options that a run refused are not those that it was trained with"
    outcome = trained("")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "low: it was trained with lr, which the study no longer sets: delete" in outcome.err
    shutil.rmtree(folder / "low")
    outcome = trained("")
    assert outcome.code == 2
    assert "high: it started from an earlier low: delete" in outcome.err
    shutil.rmtree(folder / "high")
    assert trained("").code == 0


def test_a_study_that_was_moved_is_resumed(lenet, made, tmp_path):
    study, folder, *_ = made
    moved = shutil.copytree(folder, tmp_path / "moved")
    (moved / "last-20" / "result.json").unlink()
    assert lenet("study", study, "--out", moved).code == 0
    assert Run(moved / "last-20").result["config"]["start"] == str(moved / "low")


def test_an_unfinished_study_without_its_settings_is_resumed(lenet, made, tmp_path):
    study, folder, *_ = made
    begun = shutil.copytree(folder, tmp_path / "begun")
    for name in ("study.json", "settings.json"):
        (begun / name).unlink()
    (begun / "last-20" / "result.json").unlink()
    assert lenet("study", study, "--out", begun).code == 0
    assert (begun / "study.json").is_file()


def test_a_study_that_was_killed_at_once_is_begun_again(tmp_path):
    check_made_here(tmp_path, "study.json", "study")
    (tmp_path / f".settings.json.{'0' * 32}.part").touch()
    check_made_here(tmp_path, "study.json", "study")


def test_a_folder_that_no_study_made_is_left_alone(lenet, made, digits_run, photos, refused, tmp_path):
    study, editors, pictures = made[0], tmp_path / "editors", tmp_path / "pictures"
    for folder, name in ((editors, "settings.json"), (pictures, "accuracy.png")):
        folder.mkdir()
        (folder / name).write_text('{"editor.fontSize": 12}')
        refused(lenet("study", study, "--out", folder), f"{folder} has files that no study made")
        assert [path.name for path in folder.iterdir()] == [name]
        assert (folder / name).read_text() == '{"editor.fontSize": 12}'
    run = shutil.copytree(digits_run.path, tmp_path / "run")
    refused(lenet("study", study, "--out", run), "run is a run: give a new or empty folder")
    shutil.copy(run / "config.toml", run / "search.toml")
    refused(lenet("study", study, "--out", run), "run is a search: give a new or empty folder")
    images = photos(tmp_path / "photos")
    (tmp_path / "own.toml").write_text(f'[runs.one]\ndata = "{images}"\nepochs = 1\n')
    refused(lenet("study", tmp_path / "own.toml", "--out", images / "cat" / "made"), "is in the folder of images")
    assert not (images / "cat" / "made").exists()


def test_a_run_whose_images_do_not_fit_is_named_before_any_is_trained(lenet, refused, tmp_path):
    study = tmp_path / "few.toml"
    study.write_text('[all]\ndata = "digits"\n[runs.all]\n[runs.few]\nvary = { per_class = [10, 500] }\n')
    refused(lenet("study", study, "--out", tmp_path / "out"), "few-500: per-class 500 is too high: class '0' of digits")
    assert not (tmp_path / "out").exists()


def test_unknown_study_is_refused_with_a_suggestion(lenet):
    outcome = lenet("study", "cifar100-stl")
    assert outcome.code == 2
    assert outcome.err == "lenet: no study 'cifar100-stl', did you mean 'cifar100-stl10'?\n"
