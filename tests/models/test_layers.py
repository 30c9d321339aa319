"""The layer table against PyTorch: shapes, costs, tensors and arguments of every kind of layer."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lenet import extension
from lenet.engine import native
from lenet.errors import InputError
from lenet.models import (
    KINDS,
    MODULES,
    Normalize,
    Residual,
    build,
    describe,
    every_layer,
    kind_of,
    layer_costs,
    output_shapes,
)

SIDES = st.integers(1, 3)
PAIRS = st.one_of(SIDES, st.tuples(SIDES, SIDES))


@st.composite
def layer_and_shape(draw, kind):
    """A layer of this kind with random arguments, and an input shape that it may not accept."""
    channels, height, width = draw(st.sampled_from([1, 3, 4])), draw(st.integers(1, 12)), draw(st.integers(1, 12))
    maps, features = (channels, height, width), (channels * 5,)
    module = MODULES[kind.name]
    if module is nn.Conv2d:
        groups = channels if draw(st.booleans()) else 1
        if draw(st.booleans()):  # PyTorch warns of even kernels here
            return nn.Conv2d(
                channels, 4 * groups, draw(st.sampled_from([1, 3, 5])), padding="same", groups=groups
            ), maps
        options = {name: draw(PAIRS) for name in ("kernel_size", "stride", "padding", "dilation")}
        return nn.Conv2d(channels, 4 * groups, groups=groups, **options), maps
    if module in (nn.MaxPool2d, nn.AvgPool2d):
        kernel = draw(st.integers(2, 4))
        return module(kernel, draw(PAIRS), draw(st.integers(0, kernel // 2)), ceil_mode=draw(st.booleans())), maps
    if module is nn.AdaptiveAvgPool2d:
        return module(draw(PAIRS)), maps
    if module is nn.BatchNorm2d:
        return module(channels, affine=draw(st.booleans())), maps
    if module is nn.BatchNorm1d:
        return module(features[0]), features
    if module is nn.Linear:
        return module(features[0], draw(st.integers(1, 9)), bias=draw(st.booleans())), features
    if module is Normalize:
        channels = draw(st.sampled_from([1, 3]))
        return module([0.5] * channels, [0.2] * channels), (channels, height, width)
    if module is Residual:
        stride = draw(SIDES)
        body = nn.Sequential(nn.Conv2d(channels, 6, 3, stride, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1))
        return module(body, nn.Sequential(nn.Conv2d(channels, 4, 1, stride))), maps
    arguments = {nn.Dropout: (0.3,), nn.LeakyReLU: (0.2,), nn.GELU: (draw(st.sampled_from(["none", "tanh"])),)}
    return module(*arguments.get(module, ())), maps


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@settings(deadline=None)
@given(data=st.data())
def test_shapes_costs_and_tensors_equal_pytorchs(kind, data):
    layer, shape = data.draw(layer_and_shape(kind))
    model = nn.Sequential(layer).eval()
    pixels = MODULES[kind.name] is Normalize
    x = torch.zeros(2, *(shape[1:] + shape[:1] if pixels else shape), dtype=torch.uint8 if pixels else torch.float32)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            expected = tuple(model(x).shape[1:])
    except RuntimeError:
        with pytest.raises(InputError, match=rf"layer 0 \({kind.name}\) has no output"):
            output_shapes(model, shape)
        return
    assert output_shapes(model, shape) == [expected]
    if len(shape) == 3:
        rows = layer_costs(model, (*shape[1:], shape[0]))
        assert sum(row.parameters for row in rows) == sum(p.numel() for p in layer.parameters())
        assert sum(row.multiply_adds for row in rows) == counter.get_total_flops() // 2 // len(x)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == {
        f"{place.name}.{name}": size
        for place in every_layer(model)
        for name, size in place.kind.tensors(place.layer).items()
    }
    again = build(json.loads(json.dumps(describe(model))))
    assert describe(again) == describe(model)
    assert repr(again) == repr(model)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_argument_is_checked(kind):
    layers = {
        nn.Conv2d: nn.Conv2d(3, 4, 3), nn.Linear: nn.Linear(3, 4), nn.BatchNorm2d: nn.BatchNorm2d(3),
        nn.BatchNorm1d: nn.BatchNorm1d(3), nn.MaxPool2d: nn.MaxPool2d(2), nn.AvgPool2d: nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d: nn.AdaptiveAvgPool2d(1), nn.Dropout: nn.Dropout(0.5),
        Residual: Residual(nn.Sequential(nn.ReLU())),
    }  # fmt: skip
    module = MODULES[kind.name]
    layer = layers[module] if module in layers else module(*[[0.5], [0.5]][: 2 * bool(kind.statistics)])
    (described,) = describe(nn.Sequential(layer))
    assert set(described) == {"kind", *kind.arguments, *kind.branches}
    for name in (*kind.arguments, *kind.branches):
        for wrong in ({}, [1, 2, 3, 4], -7, 1e300, float("nan"), 10**30, "words"):
            with pytest.raises(InputError, match=rf"layer 0( \({kind.name}\)|, body 0|, shortcut 0)"):
                build([{**described, name: wrong}])
        with pytest.raises(InputError, match=f"argument '{name}' is missing"):
            build([{key: value for key, value in described.items() if key != name}])
    with pytest.raises(InputError, match="argument 'device' is unknown"):
        build([{**described, "device": "cuda"}])


def test_the_native_engine_has_every_kind_in_the_table():
    if native.available() is not None:
        pytest.skip(str(native.available()))
    kinds = {name for name in dir(extension.module.Kind) if not name.startswith("_")}
    assert {kind.native for kind in KINDS} - {None} <= kinds


def test_an_unsupported_layer_is_named_with_those_supported():
    with pytest.raises(InputError, match=r"layer 3: Sigmoid is not supported \(supported: Normalize, Conv2d, "):
        kind_of(nn.Sigmoid(), 3)


@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
def test_a_pool_that_pytorch_cannot_compute_is_refused(pool):
    with pytest.raises(
        InputError, match=r"layer 0 \(.*Pool2d\) has padding 2: it must be at most half the kernel size, 3"
    ):
        output_shapes(nn.Sequential(pool(3, 1, 2)), (3, 8, 8))


def test_options_that_pytorch_takes_and_a_network_cannot():
    shape = (3, 8, 8)
    with pytest.raises(InputError, match=r"layer 0 \(MaxPool2d\) has return_indices=True, but a layer must return one"):
        output_shapes(nn.Sequential(nn.MaxPool2d(2, return_indices=True)), shape)
    for mode, most in (("reflect", 7), ("circular", 8)):
        conv = lambda pad, mode=mode: nn.Sequential(nn.Conv2d(3, 4, 3, padding=pad, padding_mode=mode))  # noqa: E731
        (wide,) = output_shapes(conv(most), shape)
        assert conv(most)(torch.zeros(1, *shape)).shape[1:] == wide
        with pytest.raises(InputError, match=rf"{mode} padding too wide for its input of 8x8 pixels"):
            output_shapes(conv(most + 1), shape)


def test_an_output_size_may_be_a_list():
    assert output_shapes(nn.Sequential(nn.AdaptiveAvgPool2d([2, None])), (3, 8, 8)) == [(3, 2, 8)]
