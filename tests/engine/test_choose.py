"""The choice of the engine."""

from dataclasses import replace

import pytest

from lenet.engine import native
from lenet.engine.base import Settings
from lenet.engine.choice import choose
from lenet.errors import InputError
from lenet.models import SHAPES, network_of

needs_native = pytest.mark.skipif(bool(native.available()), reason="the native engine is not built here")
SHAPE = (32, 32, 3)


@needs_native
def test_auto_takes_native_where_it_supports_the_network():
    assert choose("auto", network_of(SHAPES["lenet5-modern"], SHAPE, 10), Settings(), SHAPE).name == "native"


@needs_native
def test_auto_takes_torch_for_a_wide_network():
    wide = network_of(replace(SHAPES["lenet5-modern"], maps=(256, 256)), SHAPE, 10)
    choice = choose("auto", wide, Settings(), SHAPE)
    assert choice.name == "torch"
    assert "million multiply-adds" in choice.why
    assert choose("native", wide, Settings(), SHAPE).name == "native"


@needs_native
def test_native_names_the_layer_that_it_does_not_support():
    network = network_of(replace(SHAPES["lenet5"], kernel=4), SHAPE, 10)
    assert choose("auto", network, Settings(), SHAPE).name == "torch"
    with pytest.raises(InputError, match=r"layer 1 \(Conv2d\)"):
        choose("native", network, Settings(), SHAPE)


def test_auto_takes_torch_for_another_device():
    network = network_of(SHAPES["lenet5"], SHAPE, 10)
    assert choose("auto", network, Settings(device="cuda"), SHAPE).name == "torch"
