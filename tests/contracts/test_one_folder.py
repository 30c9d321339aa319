"""What a run's folder guards: one process at a time, the settings it was started with, wall time over all sessions."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import lenet as api
from lenet.errors import InputError
from lenet.runs.opening import opened_run
from lenet.runs.run import Run
from lenet.runs.tensors import read_tensors, write_tensors


@pytest.fixture
def interrupted(tmp_path, interrupt_after):
    """A run of three epochs that was interrupted after the second."""
    path = tmp_path / "run"
    with interrupt_after(2), pytest.raises(KeyboardInterrupt):
        api.train("digits", model="lenet5", epochs=3, out=path)
    return path


def test_second_process_is_refused_while_a_run_is_open(interrupted):
    command = [sys.executable, "-m", "lenet.cli", "train", "--resume", "--out", str(interrupted)]
    with opened_run(interrupted, resume=True):
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 2
        assert second.stderr == (
            f"lenet: {interrupted} is in use by another lenet process: wait for it or choose another --out\n"
        )
    assert api.train(out=interrupted, resume=True).result


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("epochs = 3", "epochs = 4"),
        lambda text: "".join(text.splitlines(keepends=True)[:6]),  # cut short at the end of a line
        lambda text: text.replace('optimizer = "sgd"', 'optimizer = "adam"'),
    ],
    ids=["epochs", "cut short", "optimizer"],
)
def test_changed_config_is_refused_on_resume(interrupted, change):
    config = interrupted / "config.toml"
    text = config.read_text()
    config.write_text(change(text))
    assert config.read_text() != text
    with pytest.raises(InputError, match=r"config.toml was changed since the run was started: restore it"):
        api.train(out=interrupted, resume=True)
    config.write_text(text)
    assert api.train(out=interrupted, resume=True).result


def test_split_with_one_training_image_is_refused_under_batch_norm(tmp_path):
    run = api.train("digits", epochs=1, out=tmp_path / "run")
    (run.path / "result.json").unlink()
    split = read_tensors(run.path / "split.safetensors")
    split["train"] = split["train"][:1].clone()
    write_tensors(run.path / "split.safetensors", split)
    with pytest.raises(InputError, match=r"one training image: layer 11 \(BatchNorm1d\) cannot train"):
        api.train(out=run.path, resume=True)


def test_seconds_are_wall_time_over_all_sessions(interrupted):
    before = Run(interrupted).clock()
    assert 0 < before.loop < before.total
    (interrupted / "state" / "clock.json").write_text(json.dumps({"loop": 1000.0, "total": 2000.0}))
    seconds = api.train(out=interrupted, resume=True).result["seconds"]
    assert seconds["train"] + seconds["validation"] == pytest.approx(1000, abs=100)
    assert seconds["total"] == pytest.approx(2000, abs=100)
    assert seconds["total"] > 2000


@pytest.mark.parametrize("content", ['{"loop": -1, "total": 2}', '{"loop": "1", "total": 2}', "[1, 2]", '{"loop": 1}'])
def test_damaged_clock_is_named(interrupted, content):
    (interrupted / "state" / "clock.json").write_text(content)
    with pytest.raises(InputError, match=r"clock.json is damaged .*: restore it, or remove it to count from zero"):
        api.train(out=interrupted, resume=True)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda row: row.update(val_accuracy=5.0), "val_accuracy 5.0"),
        (lambda row: row.update(val_accuracy=float("nan")), "val_accuracy nan"),
        (lambda row: row.update(val_macro_f1=-0.1), "val_macro_f1 -0.1"),
        (lambda row: row.update(engine="=cmd()"), "engine =cmd"),
        (lambda row: row.update(epoch=True), "epoch True"),
        (lambda row: row.update(failed_step=-5), "failed_step -5"),
        (lambda row: row.update(train_seconds=-1e300), "train_seconds -1e"),
    ],
    ids=range(7),
)
def test_history_with_impossible_figures_is_refused(interrupted, change, fault):
    path = interrupted / "state" / "0.safetensors"
    state = read_tensors(path)
    rows = json.loads(bytes(state["history:json"].tolist()))
    change(rows[0])
    state["history:json"] = torch.from_numpy(np.frombuffer(json.dumps(rows).encode(), np.uint8).copy())
    write_tensors(path, state)
    with pytest.raises(InputError, match=rf"0.safetensors is of another network \(its history is damaged \({fault}"):
        api.train(out=interrupted, resume=True)
