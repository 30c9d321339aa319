"""The networks of a checkpoint: packed for the native engine once, until they become modules."""

import numpy as np
import pytest

from lenet import extension
from lenet.engine import native
from lenet.errors import InputError
from lenet.layers.network import describe, parsed
from lenet.models import SHAPES, network_of, plain
from lenet.runs.networks import Networks

SHAPE = (16, 16, 1)


def as_read():
    """The layers of a network with random weights, as a checkpoint gives them."""
    model = network_of(SHAPES["lenet5-modern"], SHAPE, 3)
    layers = parsed(describe(model))
    for layer, trained in zip(layers, plain(model), strict=True):
        for name in layer.kind.tensors(layer):
            setattr(layer, name, getattr(trained, name))
    return layers


@pytest.fixture
def networks():
    return Networks([as_read(), as_read()])


@pytest.mark.skipif(native.available() is not None, reason=str(native.available()))
def test_each_network_is_packed_once_until_it_is_a_module(networks):
    first = networks.inference(0, SHAPE)
    assert first is networks.inference(0, SHAPE) is not networks.inference(1, SHAPE)
    images = np.zeros((2, *SHAPE), np.uint8)
    assert not np.array_equal(first.logits(images), networks.inference(1, SHAPE).logits(images))
    assert networks[0] is networks[0]  # its user may change its weights now
    assert networks.inference(0, SHAPE) is None is not networks.inference(1, SHAPE)


def test_without_the_engine_or_with_a_level_that_is_missing_there_is_none(networks, monkeypatch):
    monkeypatch.setattr(extension, "module", None)
    assert networks.inference(0, SHAPE) is None
    with pytest.raises(InputError):
        extension.engine()
