"""A network with residual blocks is trained, resumed, evaluated, frozen and transferred like any other."""

import json

import pytest
from torch import nn

import lenet
from lenet.runs.run import Run

OPTIONS = {"epochs": 2, "batch_size": 32}


def network():
    """Two blocks, of which the second halves the maps; its dropout must draw other units than any other layer's."""
    first = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1))
    second = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(6, 9, 3, padding=1), nn.Dropout(0.1), nn.ReLU())
    shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(6, 9, 3, padding=1), nn.BatchNorm2d(9))
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), lenet.Residual(first), nn.ReLU(), lenet.Residual(second, shortcut), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(9, 10),
    )  # fmt: skip


def tensors(run):
    return {name: tensor.numpy().tobytes() for name, tensor in run.checkpoint().networks[0].state_dict().items()}


@pytest.fixture(scope="module", params=["torch", "native"])
def trained(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("residual") / "run"
    return lenet.train("digits", model=network(), engine=request.param, out=path, **OPTIONS)


def test_a_saved_network_predicts_as_the_trained_one_did(trained):
    again = Run(trained.path)
    assert lenet.evaluate(again).accuracy == trained.result["test_accuracy"]
    layers = json.loads((again.path / "model.json").read_text())["layers"]
    assert [layer["kind"] for layer in layers[4]["shortcut"]] == ["AvgPool2d", "Conv2d", "BatchNorm2d"]
    assert {"2.body.0.weight", "4.shortcut.2.running_var"} <= again.checkpoint().networks[0].state_dict().keys()


def test_a_resumed_run_is_bit_identical(trained, tmp_path, interrupt_after):
    options = {**OPTIONS, "engine": trained.result["engine"], "out": tmp_path / "run"}
    with interrupt_after(1), pytest.raises(KeyboardInterrupt):
        lenet.train("digits", model=network(), **options)
    assert tensors(lenet.train(resume=True, **options)) == tensors(trained)


def test_blocks_are_frozen_whole_and_transferred(trained, tmp_path):
    moved = lenet.transfer(
        trained,
        "digits",
        classes="0,1,2",
        freeze="3",
        engine=trained.result["engine"],
        out=tmp_path / "moved",
        **OPTIONS,
    )
    before, after = tensors(trained), tensors(moved)
    for name in before:
        assert (before[name] == after[name]) == (int(name.split(".")[0]) < 3), name
