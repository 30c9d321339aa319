"""Transfer: frozen tensors stay bit-identical, and a resumed transfer is bit-identical to an uninterrupted one."""

import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lenet.runs.run import Run
from lenet.runs.tensors import saved_state

WORDS = ("digits", "--classes", "5,6,7,8,9", "--batch-size", "16", "--per-class", "60", "--seeds", "2")


def tensors(path):
    """The tensors of the checkpoint and of all saved states."""
    found = dict(load_file(path / "model.safetensors"))
    for state in sorted((path / "state").glob("[0-9]*.safetensors")):
        found |= {f"{state.stem}/{name}": tensor for name, tensor in load_file(state).items()}
    return found


def figures(path):
    """Everything of metrics.csv and result.json that must be identical, without times."""
    rows = [{n: v for n, v in row.items() if n not in ("train_seconds", "val_seconds")} for row in Run(path).metrics()]
    result = Run(path).result
    kept = {name: result[name] for name in ("val_accuracy", "test_accuracy", "best_epoch", "config")}
    return sorted(rows, key=lambda row: (row["seed"], int(row["epoch"]))), kept


# lenet5-tuned has 14 layers; layer 9 is its batch norm. Features are cached without augmentation only.
@pytest.mark.parametrize(
    ("freeze", "frozen", "augment"),
    [("all-but-last", 13, "none"), ("all-but-last", 13, "shift"), ("10", 10, "none"), ("4", 4, "none")],
)
def test_frozen_tensors_stay_bit_identical_and_others_change(lenet, low_run, tmp_path, engine, freeze, frozen, augment):
    words = ("--freeze", freeze, "--augment", augment, "--epochs", 2, "--engine", engine, "--out", tmp_path / "high")
    assert lenet("transfer", low_run.path, *WORDS, *words).code == 0
    checkpoint = low_run.checkpoint()
    start = checkpoint.networks[checkpoint.best].state_dict()
    last = {name: t.clone() for seed in (0, 1) for name, t in saved_state(Run(tmp_path / "high"), seed).items()}
    models = [network.state_dict() for network in Run(tmp_path / "high").checkpoint().networks]
    models.append({name.removeprefix("model:"): t for name, t in last.items() if name.startswith("model:")})
    for model in models:
        for name, tensor in start.items():
            number = int(name.split(".")[0])
            same = tensor.shape == model[name].shape and torch.equal(tensor, model[name])
            assert same == (number < frozen), name
    assert not {name for name in last if name.startswith("optimizer:") and int(re.findall(r"\d+", name)[0]) < frozen}


@pytest.mark.parametrize(
    "flags", [(), ("--freeze", "none"), ("--unfreeze-after", "3"), ("--freeze", "8", "--augment", "shift")]
)
def test_resumed_transfer_is_bit_identical_to_uninterrupted_transfer(lenet, low_run, tmp_path, interrupt_after, flags):
    start = tmp_path / "start"
    shutil.copytree(low_run.path, start)
    words = ("transfer", start, *WORDS, "--epochs", 5, "--engine", "torch", *flags, "--out")
    assert lenet(*words, tmp_path / "whole").code == 0
    with interrupt_after(3):
        assert lenet(*words, tmp_path / "cut").code == 130
    shutil.rmtree(start)  # the run has its own copy of the start's weights
    assert lenet("train", "--resume", "--out", tmp_path / "cut").code == 0
    assert figures(tmp_path / "cut") == figures(tmp_path / "whole")
    resumed, whole = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole"))
    assert resumed == whole


def test_resume_needs_start_run_until_its_weights_are_copied(lenet, low_run, tmp_path):
    start, words = tmp_path / "start", ("--epochs", 1, "--out", tmp_path / "high")
    shutil.copytree(low_run.path, start)
    assert lenet("transfer", start, *WORDS, *words).code == 0
    for part in ("state", "result.json", "model.json", "model.safetensors"):
        path = tmp_path / "high" / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(start)
    outcome = lenet("train", "--resume", "--out", tmp_path / "high")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert f"no run at {start}" in outcome.err


def test_start_and_images_may_move(lenet, low_run, photos, tmp_path):
    start, images, out = tmp_path / "start", photos(tmp_path / "photos"), tmp_path / "high"
    shutil.copytree(low_run.path, start)
    words = ("--epochs", 1, "--out", out)
    assert lenet("transfer", start, images, *words).code == 0
    start, images = start.rename(tmp_path / "start2"), images.rename(tmp_path / "photos2")
    assert lenet("transfer", start, images, *words, "--resume").code == 0
    for command in (("transfer", start, images, *words, "--resume"), ("train", "--resume", "--out", out)):
        (out / "result.json").unlink()
        outcome = lenet(*command)
        assert outcome.code == 0, outcome.err
    shutil.copytree(low_run.path, tmp_path / "other")
    tensors = load_file(low_run.path / "model.safetensors")
    save_file({name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in tensors.items()},
              tmp_path / "other" / "model.safetensors")  # fmt: skip
    outcome = lenet("transfer", tmp_path / "other", images, *words, "--resume")
    assert "started with other settings (start" in outcome.err


def test_resumed_transfer_refuses_other_settings(lenet, low_run, tmp_path):
    words = ("transfer", low_run.path, *WORDS, "--epochs", 1, "--out", tmp_path / "high")
    assert lenet(*words, "--freeze", "none").code == 0
    assert lenet(*words, "--resume").code == 0  # options that are not given are not compared
    outcome = lenet(*words, "--freeze", "all-but-last", "--resume")
    assert outcome.code == 2
    assert "freeze none -> all-but-last" in outcome.err
