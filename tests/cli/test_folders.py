"""The command line on run folders: those that it cannot write or read, and those that it resumes."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from lenet.runs.run import Run

# ---- folders and files that are wrong -------------------------------------------------------------------------------


def test_a_run_that_exists(lenet, digits_run, refused):
    refused(lenet("train", "digits", "--out", digits_run.path), f"{digits_run.path} exists", "--resume", "--overwrite")


def test_resume_and_overwrite_exclude_each_other(lenet, digits_run, tmp_path, refused):
    path = copy_of(digits_run, tmp_path)
    for command in ("train", "audit"):
        refused(lenet(command, "digits", "--out", path, "--resume", "--overwrite"), "--resume", "--overwrite", "one of")
    assert (path / "result.json").read_bytes() == (digits_run.path / "result.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (("eval", "RUN", "--out=~/made"), "made/scores.json"),
        (("compare", "RUN", "LOW", "--out=~/made"), "made/comparison.json"),
        (("data", "augment", "digits", "--out=~/made.png"), "made.png"),
        (("data", "check", "digits", "--out=~/made"), "made/check.json"),
        (("export", "RUN", "~/made.safetensors"), "made.safetensors"),
        (("study", "one.toml", "--out=~/made"), "made/study.json"),
    ],
)
def test_a_tilde_is_the_home_folder(lenet, digits_run, low_run, tmp_path, monkeypatch, words, made):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    Path("one.toml").write_text('[runs.one]\ndata = "digits"\nepochs = 1\n')
    paths = {"RUN": digits_run.path, "LOW": low_run.path}
    outcome = lenet(*(paths.get(word, word) for word in words))
    assert outcome.code == 0, outcome
    assert (tmp_path / "home" / made).is_file()
    assert not Path("~").exists()


def test_an_unwritable_folder(lenet, tmp_path, refused):
    folder = "/proc" if os.geteuid() == 0 else str(tmp_path)
    if folder != "/proc":
        tmp_path.chmod(0o500)
    refused(lenet("train", "digits", "--out", f"{folder}/run"), f"{folder}/run", "choose another folder")


def one_of_each(path):
    """The kinds of files that a run writes, in a pattern that the name of each matches while it is written aside."""
    return rf"/\.{re.escape(path)}\.[0-9a-f]{{32}}\.part$"


FILES = ("config.toml", "layers.json", "split.safetensors", "0.safetensors", "metrics.csv", "model.safetensors",
         "model.json", "result.json")  # fmt: skip


@pytest.mark.parametrize("file", FILES)
def test_a_full_disk_is_one_line_and_once_there_is_room_the_run_goes_on(file, full_disk):
    full_disk(file)


@pytest.mark.parametrize("file", ["curves.png", "confusion.png"])
def test_a_full_disk_under_a_plot(file, full_disk, plots):
    full_disk(file)


@pytest.fixture
def full_disk(lenet, tmp_path, monkeypatch, digits_run_files, refused):
    """A function that trains where the disk is full once this file is written, and again once there is room."""
    sync, words = os.fsync, ["train", "digits", "--epochs", 2, "--batch-size", 32, "--out", tmp_path / "run"]

    def check(file):
        def fsync(descriptor):
            if re.search(one_of_each(file), os.readlink(f"/proc/self/fd/{descriptor}")):  # noqa: PTH115
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(descriptor)

        with monkeypatch.context() as disk:
            disk.setattr(os, "fsync", fsync)
            refused(lenet(*words), "no space left on the disk", str(tmp_path / "run"), file, "--resume")
        assert lenet(*words, "--resume").code == 0
        assert (tmp_path / "run" / "model.safetensors").read_bytes() == digits_run_files["model.safetensors"]
        assert not [path for path in (tmp_path / "run").rglob("*") if path.name.endswith(".part")]

    return check


@pytest.fixture(scope="session")
def digits_run_files(tmp_path_factory):
    """The files of a run that nothing disturbed, by name."""
    import lenet

    path = tmp_path_factory.mktemp("undisturbed") / "run"
    lenet.train("digits", epochs=2, batch_size=32, out=path)
    return {each.name: each.read_bytes() for each in path.rglob("*") if each.is_file()}


def copy_of(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_a_checkpoint_whose_files_contradict_each_other(lenet, tmp_path, digits_run, command, refused, picture):
    path = copy_of(digits_run, tmp_path)
    facts = json.loads((path / "model.json").read_text())
    facts["layers"][-1]["out_features"] = 11
    (path / "model.json").write_text(json.dumps(facts))
    words = [picture(tmp_path / "a.png")] if command == "predict" else []
    refused(lenet(command, path, *words), "11 logits for 10 classes", "restore")


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_a_checkpoint_that_is_cut_short(lenet, tmp_path, digits_run, command, refused, picture):
    path = copy_of(digits_run, tmp_path)
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[:-10])
    words = [picture(tmp_path / "a.png")] if command == "predict" else []
    refused(lenet(command, path, *words), "model.safetensors", "restore it or train again")


def test_a_run_that_is_not_finished(lenet, tmp_path, digits_run, refused):
    path = copy_of(digits_run, tmp_path)
    (path / "model.json").unlink()
    refused(lenet("eval", path), "not a finished run")


def test_eval_on_other_data(lenet, tmp_path, digits_run, refused, photos):
    refused(lenet("eval", digits_run.path, photos(tmp_path)), "class 'cat'", "not a class of the model")
    refused(lenet("eval", digits_run.path, "--network", 2), "no network 2", "0 to 1")


def test_predict_on_what_is_no_image(lenet, tmp_path, digits_run, refused, picture):
    (tmp_path / "text.png").write_text("words")
    refused(lenet("predict", digits_run.path, tmp_path / "text.png"), "text.png", "not an image")
    refused(lenet("predict", digits_run.path, tmp_path / "none.png"), "no image at", "none.png")
    refused(lenet("predict", digits_run.path, tmp_path), str(tmp_path))
    refused(lenet("predict", digits_run.path, picture(tmp_path / "a.png"), "--network", -1), "no network -1")
    refused(
        lenet("predict", digits_run.path, picture(tmp_path / "a.png"), "--top", 0),
        "top must be a whole number",
    )


# ---- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("cifar10", "data digits -> cifar10"),
        ("--epochs 3", "epochs 2 -> 3"),
        ("--lr 0.01 --seed 1", "lr 0.005 -> 0.01, seed 0 -> 1"),
        ("--model lenet5", "model lenet5-modern -> lenet5"),
        ("--recipe cifar100-vanilla", "data digits -> cifar100"),
    ],
)
def test_resume_refuses_changed_settings_by_name(lenet, digits_run, words, named, refused):
    refused(lenet("train", *words.split(), "--resume", "--out", digits_run.path), "other settings", named)


def test_resume_of_a_finished_run_says_its_result_again_and_changes_nothing(lenet, digits_run):
    before = {path: path.read_bytes() for path in digits_run.path.rglob("*") if path.is_file()}
    outcome = lenet("train", "--resume", "--out", digits_run.path, "--epochs", 2)
    assert outcome.code == 0
    percent = 100 * digits_run.result["test_accuracy"]["mean"]
    assert f"test    {percent:.1f}% ± " in outcome.out
    assert before == {path: path.read_bytes() for path in digits_run.path.rglob("*") if path.is_file()}


def test_resume_with_neither_words_nor_folder_takes_the_newest_run(lenet):
    assert lenet("train", "digits", "--epochs", 1, "--resume").code == 0  # there is none: it starts one
    assert lenet("train", "digits", "--epochs", 1, "--seed", 1).code == 0
    outcome = lenet("train", "--resume")
    assert outcome.code == 0
    assert "runs/0002" in outcome.out
    assert "epoch 1/1" not in outcome.out  # it was finished


@pytest.mark.parametrize(
    ("words", "message"),
    [(("digitz",), "did you mean 'digits'"), (("digits", "--batch-size", "0"), "batch-size"),
     (("digits", "--batch-size", "1", "--model", "lenet5-modern"), "--batch-size 1: layer"),
     (("digits", "--start", "nowhere"), "nowhere")],
)  # fmt: skip
def test_overwrite_leaves_the_run_where_nothing_can_be_trained(lenet, tmp_path, digits_run, refused, words, message):
    path = tmp_path / "run"
    shutil.copytree(digits_run.path, path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    refused(lenet("train", *words, "--out", path, "--overwrite"), message)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_overwrite_starts_over(lenet, tmp_path):
    words = ["train", "digits", "--epochs", 1, "--out", tmp_path / "run"]
    assert lenet(*words).code == 0
    (tmp_path / "run" / "plots").mkdir()
    (tmp_path / "run" / "plots" / "mark").touch()
    assert lenet(*words, "--overwrite", "--seed", 4).code == 0
    assert Run(tmp_path / "run").config().seed == 4
    assert not (tmp_path / "run" / "plots" / "mark").exists()
