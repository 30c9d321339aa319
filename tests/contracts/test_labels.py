"""A run with corrected labels says which, keeps them, and is resumed and evaluated with the same ones only."""

import shutil

import numpy as np
import pytest

import lenet as package
from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.runs.run import Run

WORDS = ("train", "digits", "--epochs", "2", "--batch-size", "32")


@pytest.fixture
def labels(tmp_path, digits):
    """A file that corrects one test image and leaves two training images out."""
    path = tmp_path / "mine" / "labels.csv"
    path.parent.mkdir()
    wrong = (digits.labels[digits.test[0]] + 1) % 10
    path.write_text(f"index,label\n{digits.test[0]},{wrong}\n{digits.train[0]},\n{digits.train[1]},\n")
    return path


@pytest.fixture
def trained(labels, lenet):
    """A run with these labels, given as a relative path."""
    outcome = lenet(*WORDS, "--labels", labels, "--out", "run")
    assert (outcome.code, outcome.err) == (0, "")
    assert "labels.csv: 1 label corrected, 2 images left out" in outcome.out
    return Run("run")


def test_a_run_names_its_labels_and_keeps_a_copy(trained, labels, digits):
    assert trained.config().labels == trained.result["config"]["labels"] == str(labels)
    assert (trained.path / "labels.csv").read_bytes() == labels.read_bytes()
    assert trained.result["data_sha256"] == trained.config().data_sha256 != digits.sha256


def test_eval_uses_the_labels_of_the_run_also_when_their_file_was_edited(trained, labels, digits):
    accuracy = trained.result["test_accuracy"]["each"]
    labels.write_text("index,label\n5,\n")
    for data in (None, "digits"):
        found = package.evaluate(trained, data)
        assert [one.accuracy for one in found.scores] == accuracy
        assert found.own
        assert found.predicted[0].labels[0] != digits.labels[digits.test[0]]


def test_a_run_is_resumed_with_its_labels_and_refused_with_others(trained, labels, lenet, refused, tmp_path):
    weights = (trained.path / "model.safetensors").read_bytes()
    (trained.path / "result.json").unlink()
    shutil.copy(labels, tmp_path / "other.csv")
    refused(lenet("train", "--resume", "--out", "run", "--labels", tmp_path / "other.csv"), "other settings (labels ")
    labels.write_text("index,label\n5,\n")
    refused(lenet("train", "--resume", "--out", "run", "--labels", labels), f"restore {labels}, or the images")
    assert lenet("train", "--resume", "--out", "run").code == 0
    assert (trained.path / "model.safetensors").read_bytes() == weights
    refused(lenet("train", "--resume", "--out", "run", "--labels", labels), f"restore {labels}, or the images")


def test_the_recipe_of_a_run_repeats_it_with_its_labels(trained, lenet):
    assert lenet("train", "--recipe", "run/config.toml", "--out", "again").code == 0
    assert (
        Run("again").path.joinpath("model.safetensors").read_bytes()
        == (trained.path / "model.safetensors").read_bytes()
    )


def test_labels_in_memory_are_corrected_by_index(labels, digits):
    plain = load_dataset(DataConfig(data="digits"))
    run = package.train((plain.images, plain.labels), labels=labels, epochs=1, out="memory")
    assert run.result["test_images"] == len(digits.test)
    assert run.result["data_sha256"] != plain.sha256


def test_wrong_labels_are_refused_before_a_folder_is_made(lenet, refused, tmp_path):
    (tmp_path / "bad.csv").write_text("index,label\n5000,1\n")
    outcome = lenet(*WORDS, "--labels", tmp_path / "bad.csv", "--out", "run")
    refused(outcome, "bad.csv, line 2: no image '5000' in digits: indices are 0 to 1796")
    assert not Run("run").path.exists()


def test_training_on_an_image_left_out_changes_nothing(labels, digits):
    """The pixels of an image that is left out have no effect on the network."""
    images = np.array(digits.images)
    first = package.train((images, digits.labels), labels=labels, epochs=1, out="first")
    images[digits.train[0]] = 255 - images[digits.train[0]]
    second = package.train((images, digits.labels), labels=labels, epochs=1, out="second")
    assert (first.path / "model.safetensors").read_bytes() == (second.path / "model.safetensors").read_bytes()
