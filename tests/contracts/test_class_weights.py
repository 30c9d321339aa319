"""Class weights from the option to the trained network: both engines, resumed runs, repeated runs, folds, transfer."""

import json

import numpy as np
import pytest

import lenet as api
from lenet.runs.run import Run
from tests.engine.agreement import needs_native

COUNTS = (60, 60, 10)
OPTIONS = {"epochs": 3, "batch_size": 8, "augment": "none", "model": "lenet5-tuned", "label_smoothing": 0.1}
WEIGHTS = {"0": 0.5, "1": 1.0, "2": 4.0}


@pytest.fixture(scope="module")
def uneven(digits):
    """Images and labels of three digits, the last of them rare, with 20 validation and 20 test images each."""
    parts, begin = {}, 0
    for split, counts in (("train", COUNTS), ("val", (20,) * 3), ("test", (20,) * 3)):
        chosen = [np.flatnonzero(digits.labels == k)[begin : begin + count] for k, count in enumerate(counts)]
        begin += max(counts)
        parts[split] = digits.images[np.concatenate(chosen)], np.repeat(range(3), counts)
    return parts


def weights_in(run):
    return run.result["class_weights"]


@needs_native
def test_both_engines_train_the_same_network_with_weights(uneven, tmp_path):
    options = OPTIONS | {"lr": 0.03}  # at 0.1 rounding differences grow, on some processors to 0.5% of the loss
    runs = []
    for engine in ("torch", "native"):
        runs.append(api.train(uneven, class_weights=WEIGHTS, engine=engine, out=tmp_path / engine, **options))
    for one, other in zip(*(run.rows() for run in runs), strict=True):
        for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-3, abs=1e-6), name
    unweighted = api.train(uneven, engine="torch", out=tmp_path / "none", **options)
    assert unweighted.rows()[0].train_loss != pytest.approx(runs[0].rows()[0].train_loss, rel=1e-3)
    assert weights_in(unweighted) is None


def test_balanced_weights_are_those_of_the_training_images(uneven, tmp_path):
    run = api.train(uneven, class_weights="balanced", out=tmp_path / "run", **OPTIONS)
    n = sum(COUNTS)
    assert weights_in(run) == [{str(k): pytest.approx(n / (3 * count)) for k, count in enumerate(COUNTS)}]
    assert run.config().class_weights == "balanced"


def test_a_run_with_a_weights_file_resumes_and_repeats_without_the_file(lenet, tmp_path, interrupt_after, monkeypatch):
    weights = {str(digit): 1 + digit / 4 for digit in range(10)}
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(weights))
    words = ("train", "digits", "--epochs", 3, "--batch-size", 32, "--class-weights", file, "--out")
    whole = lenet(*words, tmp_path / "whole")
    assert whole.code == 0, whole
    assert "loss    class weights 1 (0) to 3.25 (9)\n" in whole.out
    assert weights_in(Run(tmp_path / "whole")) == [weights]
    with interrupt_after(2):
        assert lenet(*words, tmp_path / "cut").code == 130
    file.unlink()
    monkeypatch.chdir(tmp_path)
    assert lenet("train", "--resume", "--out", tmp_path / "cut").code == 0
    again = lenet("train", "--recipe", tmp_path / "whole" / "config.toml", "--out", tmp_path / "again")
    assert again.code == 0
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    for name in ("cut", "again"):
        assert (tmp_path / name / "model.safetensors").read_bytes() == expected
    plain = lenet("train", "digits", "--epochs", 3, "--batch-size", 32, "--out", tmp_path / "plain")
    assert plain.code == 0
    assert (tmp_path / "plain" / "model.safetensors").read_bytes() != expected


def test_a_resumed_run_refuses_other_weights_and_accepts_its_own(lenet, tmp_path, interrupt_after, refused):
    weights = {str(digit): 2 for digit in range(10)}
    (tmp_path / "weights.json").write_text(json.dumps(weights))
    words = ("train", "digits", "--epochs", 2, "--out", tmp_path / "run", "--class-weights")
    with interrupt_after(1):
        assert lenet(*words, tmp_path / "weights.json").code == 130
    refused(lenet(*words, "balanced", "--resume"), "other settings (class_weights", "-> balanced")
    assert lenet(*words, tmp_path / "weights.json", "--resume").code == 0


def test_wrong_weights_are_refused_before_a_folder_is_made(lenet, tmp_path, refused):
    words = ("train", "digits", "--out", tmp_path / "run", "--class-weights")
    refused(lenet(*words, '{"zero": 1}'), "class-weights: no class 'zero' in the data")
    refused(lenet(*words, '{"0": 1}'), "class-weights: no weight for class '1'")
    refused(lenet(*words, "balance"), "did you mean 'balanced'?")
    refused(lenet(*words, tmp_path), f"class-weights: '{tmp_path}' is not a file")
    assert not (tmp_path / "run").exists()


def test_each_fold_has_the_balanced_weights_of_its_own_training_images(small_stl10, monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_DATA", str(small_stl10.parent))
    run = api.train(
        "stl10",
        protocol="folds",
        class_weights="balanced",
        epochs=1,
        batch_size=8,
        augment="none",
        out=tmp_path / "run",
    )
    found = weights_in(run)
    assert len(found) == 10
    # The last fold but one consists of every second image: five of the ten classes.
    assert set(found[8].values()) == {0.5, 1.0}
    assert set(found[0].values()) == {1.0}


def test_a_frozen_transfer_is_trained_with_the_weights(uneven, low_run, tmp_path):
    heads = []
    for weights in ("none", WEIGHTS):
        run = api.transfer(
            low_run, uneven, class_weights=weights, epochs=2, batch_size=8, out=tmp_path / str(len(heads))
        )
        heads.append(api.load(run).networks[0])
    (plain, weighted) = (network.state_dict() for network in heads)
    last = f"{len(heads[0]) - 1}.weight"
    assert (plain["1.weight"] == weighted["1.weight"]).all()
    assert (plain[last] != weighted[last]).any()


@needs_native
def test_both_engines_distil_the_same_network_with_weights(uneven, tmp_path):
    teacher = api.train(uneven, out=tmp_path / "teacher", **OPTIONS)
    losses = {}
    for engine in ("torch", "native"):
        for name, weights in (("none", "none"), ("weights", WEIGHTS)):
            out = tmp_path / f"{engine}-{name}"
            run = api.train(uneven, teacher=[teacher.path], class_weights=weights, engine=engine, out=out, **OPTIONS)
            losses[engine, name] = [row.train_loss for row in run.rows()]
    assert losses["torch", "weights"] == pytest.approx(losses["native", "weights"], rel=1e-3)
    assert losses["torch", "weights"] != pytest.approx(losses["torch", "none"], rel=1e-2)
