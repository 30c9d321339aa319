"""STL-10's folds: one network is trained on each fold, and all are evaluated on the same test images."""

import pytest
import torch
from torch import nn

import lenet as api
from lenet.config import DataConfig
from lenet.data.stl10 import read_folds
from lenet.runs.run import Run

WORDS = ("stl10", "--protocol", "folds", "--epochs", "2", "--batch-size", "8", "--augment", "none")


@pytest.fixture(autouse=True)
def _here(small_stl10, monkeypatch):
    monkeypatch.setenv("LENET_DATA", str(small_stl10.parent))


def test_each_network_is_trained_on_its_fold(lenet, small_stl10, stl10_images, tmp_path):
    outcome = lenet("train", *WORDS, "--out", tmp_path / "folds")
    assert outcome.code == 0, outcome
    assert "images  10 folds of 10 training, 10 validation, 40 test; 16x16x3, 10 classes" in outcome.out
    made, result = api.load(tmp_path / "folds"), Run(tmp_path / "folds").result
    assert len(made.networks) == result["members"] == result["config"]["seeds"] == 10
    assert result["test_images"] == 40
    splits = Run(tmp_path / "folds").split.keep(api_data())
    for network, (train, val), fold in zip(made.networks, splits.folds, read_folds(small_stl10, 100), strict=True):
        assert set(train) | set(val) == set(fold)
        # Each network normalises with the mean of its own training images.
        expected = stl10_images[train].reshape(-1, 3).mean(axis=0) / 255
        torch.testing.assert_close(network[0].mean, torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0)
    assert [scores.accuracy for scores in api.evaluate(tmp_path / "folds").scores] == result["test_accuracy"]["each"]


def api_data():
    from lenet.data import load_dataset

    return load_dataset(DataConfig(data="stl10", protocol="folds"))


def test_resumed_run_of_folds_is_bit_identical_to_uninterrupted_run(lenet, tmp_path, interrupt_after):
    assert lenet("train", *WORDS, "--out", tmp_path / "whole").code == 0
    with interrupt_after(5):
        assert lenet("train", *WORDS, "--out", tmp_path / "cut").code == 130
    assert lenet("train", "--resume", "--out", tmp_path / "cut").code == 0
    for name in ("model.safetensors", "predictions.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_network_of_ones_own_is_normalised_by_fold_also_when_it_is_resumed_without_it(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(36, 10))
    options = {"protocol": "folds", "epochs": 1, "augment": "none"}

    def stop(setup, trainings):
        raise KeyboardInterrupt

    whole = api.train("stl10", model=model, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        api.train("stl10", model=model, out=tmp_path / "cut", watch=stop, **options)
    resumed = api.train("stl10", out=tmp_path / "cut", resume=True)
    means = [network[0].mean.tolist() for network in resumed.checkpoint().networks]
    assert len(set(map(tuple, means))) == 10
    assert means == [network[0].mean.tolist() for network in whole.checkpoint().networks]
    assert resumed.result["val_accuracy"] == whole.result["val_accuracy"]


def test_transfer_to_folds_trains_one_network_per_fold_and_refuses_other_seeds(lenet, low_run, tmp_path):
    words = ("transfer", low_run.path, *WORDS)
    assert lenet(*words, "--out", tmp_path / "made").code == 0
    assert len(api.load(tmp_path / "made").networks) == 10
    outcome = lenet(*words, "--seeds", "3", "--out", tmp_path / "other")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "--seeds 3: one network is trained on each of the 10 folds" in outcome.err
    assert not (tmp_path / "other").exists()


def test_fold_file_with_image_number_out_of_range_is_refused(lenet, small_stl10, tmp_path):
    path = small_stl10 / "fold_indices.txt"
    path.write_text(path.read_text().replace("98", "100"))
    outcome = lenet("train", *WORDS, "--out", tmp_path / "folds")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert f"{path} names image 100 in fold" in outcome.err
    assert not (tmp_path / "folds").exists()
