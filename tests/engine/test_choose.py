"""Which engine trains what."""

from dataclasses import replace

import pytest

from lenet.engine import Settings, choose, native
from lenet.errors import InputError
from lenet.models import SHAPES, lenet

needs_native = pytest.mark.skipif(bool(native.available()), reason="the native engine is not built here")
SHAPE = (32, 32, 3)


@needs_native
def test_auto_takes_native_where_it_covers_the_network():
    assert choose("auto", lenet(SHAPES["lenet5-modern"], SHAPE, 10), Settings(), SHAPE).name == "native"


@needs_native
def test_auto_takes_torch_for_a_wide_network_and_says_why():
    wide = lenet(replace(SHAPES["lenet5-modern"], maps=(128, 256)), SHAPE, 10)
    choice = choose("auto", wide, Settings(), SHAPE)
    assert choice.name == "torch"
    assert "million multiply-adds" in choice.why
    assert choose("native", wide, Settings(), SHAPE).name == "native"


@needs_native
def test_native_is_refused_by_the_layers_name():
    network = lenet(replace(SHAPES["lenet5"], kernel=4), SHAPE, 10)
    assert choose("auto", network, Settings(), SHAPE).name == "torch"
    with pytest.raises(InputError, match=r"layer 1 \(Conv2d\)"):
        choose("native", network, Settings(), SHAPE)


def test_another_device_is_torchs():
    network = lenet(SHAPES["lenet5"], SHAPE, 10)
    assert choose("auto", network, Settings(device="cuda"), SHAPE).name == "torch"
