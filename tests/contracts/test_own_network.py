"""A network with settings that the engines would ignore is refused before a run folder is made."""

import pytest
from torch import nn

import lenet
from lenet.errors import InputError


def network(**norm):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, **norm), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(196, 10)
    )


def partly_frozen():
    model = network()
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("engine", ["native", "torch"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partly_frozen, r"layer 1 \(Conv2d\): weight has requires_grad=False; use the option freeze"),
        (lambda: network().requires_grad_(False), r"layer 1 \(Conv2d\): weight has requires_grad=False"),
        (lambda: network(track_running_stats=False), r"layer 2 \(BatchNorm2d\): track_running_stats must be true"),
    ],
)
def test_train_refuses_requires_grad_and_track_running_stats(engine, make, message, tmp_path):
    with pytest.raises(InputError, match=message):
        lenet.train("digits", model=make(), engine=engine, epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
