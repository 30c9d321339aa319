"""The named networks: parameters, order of layers, options, accepted images, and costs."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lenet.errors import InputError
from lenet.layers import defaults
from lenet.layers.shapes import layers_of
from lenet.models import (
    SHAPES,
    Normalize,
    Residual,
    describe,
    fitted,
    layer_costs,
    needs_two_images,
    network_of,
    parameter_count,
    shape_named,
)

RGB = (32, 32, 3)


def random_images(shape, count=4):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8))


@pytest.mark.parametrize(
    ("name", "input_shape", "classes", "parameters"),
    [
        ("lenet5", (32, 32, 1), 10, 61_706),  # LeCun's, with all connections in its third layer
        ("lenet5", RGB, 10, 62_006),
        ("lenet-dropout", RGB, 10, 62_006),
        ("lenet5-modern", RGB, 10, 62_006 + 2 * (6 + 16 + 120 + 84)),
        # The CIFAR-100 study: two convolutions, 400 -> 64 with batch norm -> 128 -> 100.
        ("lenet5-tuned", RGB, 100, 456 + 2_416 + 25_664 + 128 + 8_320 + 12_900),
        # The weights of six convolutions; each map's bias, batch norm's factor and shift; the linear layer.
        ("small-vgg", RGB, 10, 9 * (48 + 256 + 512 + 1_024 + 1_792 + 3_136) + 3 * 2 * (16 + 32 + 56) + 570),
        ("resnet8", RGB, 10, 78_666 - 480),  # as MLPerf Tiny's training log counts them, without batch norm statistics
    ],
)
def test_parameters_are_as_counted_by_hand(name, input_shape, classes, parameters):
    assert parameter_count(network_of(SHAPES[name], input_shape, classes)) == parameters


def test_layers_of_a_named_network_have_pytorch_s_default_arguments():
    pairs = [
        (defaults.conv(3, 4, 5), nn.Conv2d(3, 4, 5)),
        (defaults.conv(3, 4, 3, stride=2, padding=1), nn.Conv2d(3, 4, 3, stride=2, padding=1)),
        (defaults.linear(3, 4), nn.Linear(3, 4)),
        (defaults.batch_norm(3), nn.BatchNorm2d(3)),
        (defaults.batch_norm(3, maps=False), nn.BatchNorm1d(3)),
        (defaults.max_pool(2), nn.MaxPool2d(2)),
        (defaults.average_pool(2), nn.AvgPool2d(2)),
        (defaults.mean_of_maps(), nn.AdaptiveAvgPool2d(1)),
        (defaults.flatten(), nn.Flatten()),
        (defaults.relu(), nn.ReLU()),
        (defaults.tanh(), nn.Tanh()),
        (defaults.dropout(0.2), nn.Dropout(0.2)),
        (defaults.residual([defaults.relu()]), Residual(nn.Sequential(nn.ReLU()))),
        (defaults.normalize((0.5,), (0.25,)), Normalize((0.5,), (0.25,))),
    ]
    for layer, module in pairs:
        assert describe([layer]) == describe(nn.Sequential(module))


@pytest.mark.parametrize("name", SHAPES)
def test_costs_are_the_same_without_pytorch(name):
    assert layer_costs(layers_of(SHAPES[name], RGB, 10), RGB) == layer_costs(network_of(SHAPES[name], RGB, 10), RGB)


def kinds(name):
    return [type(layer).__name__ for layer in network_of(SHAPES[name], RGB, 10)]


def test_layers_are_in_the_order_of_the_studies():
    convolutions = ["Conv2d", "ReLU", "AvgPool2d"]
    assert kinds("lenet-dropout") == [
        "Normalize", *convolutions, *convolutions, "Flatten",
        "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    assert kinds("lenet5") == [
        "Normalize", "Conv2d", "Tanh", "AvgPool2d", "Conv2d", "Tanh", "AvgPool2d", "Flatten",
        "Linear", "Tanh", "Linear", "Tanh", "Linear",
    ]  # fmt: skip
    assert kinds("lenet5-tuned") == [
        "Normalize", "Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Flatten",
        "Linear", "BatchNorm1d", "ReLU", "Linear", "ReLU", "Linear",
    ]  # fmt: skip
    block = ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert kinds("lenet5-modern") == [
        "Normalize", *block, *block, "Flatten",
        "Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear",
    ]  # fmt: skip
    stage = ["Conv2d", "BatchNorm2d", "ReLU"] * 2
    assert kinds("small-vgg") == [
        "Normalize", *stage, "MaxPool2d", *stage, "MaxPool2d", *stage, "AdaptiveAvgPool2d", "Flatten", "Linear",
    ]  # fmt: skip
    assert kinds("resnet8") == [
        "Normalize", "Conv2d", "BatchNorm2d", "ReLU", *["Residual", "ReLU"] * 3,
        "AdaptiveAvgPool2d", "Flatten", "Linear",
    ]  # fmt: skip


def test_resnet8_halves_the_sides_from_stage_to_stage():
    network = network_of(SHAPES["resnet8"], RGB, 10)
    sides = [row.output for row in layer_costs(network, RGB) if row.kind == "Residual"]
    assert sides == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    first, second, _ = (layer for layer in network if isinstance(layer, Residual))
    assert (len(first.shortcut), len(second.shortcut)) == (0, 1)
    assert second.shortcut[0].kernel_size == (1, 1)
    statistics = [tensor.numel() for name, tensor in network.named_buffers() if "running" in name]
    assert sum(statistics) == 480


def test_model_py_equals_the_named_network(root):
    spec = importlib.util.spec_from_file_location("study_model", root / "model.py")
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    own = fitted(study.lenet(), RGB, 10, mean, std)
    assert describe(own) == describe(network_of(SHAPES["lenet-dropout"], RGB, 10, mean=mean, std=std))


def test_shape_named_changes_fields_and_keeps_them_for_none():
    shape = shape_named("lenet5-modern", maps=(12, 32), fc=None, dropout=0.1)
    network = network_of(shape, RGB, 7)
    widths = [layer.weight.shape[0] for layer in network if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert widths == [12, 32, 120, 84, 7]
    assert [layer.p for layer in network if isinstance(layer, nn.Dropout)] == [0.1, 0.1]


def test_a_deep_network_takes_widths_and_dropout():
    network = network_of(shape_named("small-vgg", maps=(4, 6, 8), dropout=0.3), RGB, 7)
    widths = [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)]
    assert widths == [4, 4, 6, 6, 8, 8]
    assert [layer.p for layer in network if isinstance(layer, nn.Dropout)] == [0.3]
    assert isinstance(network[-2], nn.Dropout)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("small-vgg", {"kernel": 3}, "kernel does not change small-vgg, which takes maps and dropout: leave it out"),
        ("small-vgg", {"pool_sizes": (2, 4)}, "pool-sizes does not change small-vgg"),
        ("small-vgg", {"maps": (8, 16)}, "maps takes 3 numbers for small-vgg, such as 16 32 56, not 2"),
        ("lenet5", {"maps": (8,)}, "maps takes 2 numbers for lenet5, such as 6 16, not 1"),
    ],
)
def test_an_option_that_does_not_apply_to_the_shape_is_refused(name, changes, message):
    with pytest.raises(InputError, match=message):
        shape_named(name, **changes)


@pytest.mark.parametrize("fc", [(), (30,), (30, 20)])
@pytest.mark.parametrize("padding", [0, 2])
def test_hidden_layers_kernel_padding_and_place_of_batch_norm(fc, padding):
    shape = shape_named("lenet5-modern", maps=(4, 8), fc=fc, kernel=3, padding=padding, norm="after-pool")
    network = network_of(shape, RGB, 7)
    kinds = [type(layer).__name__ for layer in network]
    block = ["Conv2d", "ReLU", "MaxPool2d", "BatchNorm2d"]
    assert kinds == ["Normalize", *block, *block, "Flatten", *["Linear", "BatchNorm1d", "ReLU"] * len(fc), "Linear"]
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    assert [(one.kernel_size, one.padding) for one in convolutions] == [((3, 3), (padding, padding))] * 2
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [*fc, 7]
    assert network(random_images(RGB)).shape == (4, 7)


@pytest.mark.parametrize(
    ("pool", "whole"),
    [
        ("max", nn.MaxPool2d(8)),
        ("average", nn.AvgPool2d(8)),
        ("max-average", nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(4))),
    ],
)
def test_a_pool_of_any_size_is_made_of_pools_of_two(pool, whole):
    shape = shape_named("lenet5-modern", fc=(), padding=2, pool=pool, pool_sizes=(2, 8))
    network = network_of(shape, RGB, 7)
    assert network[-1].in_features == 16 * 2 * 2
    maps = torch.randn(3, 16, 16, 16)
    torch.testing.assert_close(nn.Sequential(*network[-5:-2])(maps), whole(maps))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": "max-average"}, "pool max-average averages maxima of 2x2 values: give pool-sizes above 2"),
        ({"pool_sizes": (2, 3)}, "pool-sizes must be 2, 4 or 8, not 3"),
        ({"fc": (), "batch_norm": "first-fc"}, "batch-norm first-fc needs a hidden linear layer"),
        ({"fc": (), "dropout": 0.5}, "dropout comes after hidden linear layers"),
        ({"norm": "after-pool", "batch_norm": "none"}, "norm after-pool changes nothing with batch-norm none"),
    ],
)
def test_an_option_of_a_layer_that_is_not_there_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        network_of(shape_named("lenet5-modern", **changes), RGB, 7)


def test_an_unknown_name_suggests_a_similar_one():
    with pytest.raises(InputError, match="no model 'lenet6', did you mean 'lenet5'"):
        shape_named("lenet6")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("input_shape", [(16, 16, 1), (16, 16, 3), (20, 16, 1), (33, 47, 3), (96, 96, 1)])
def test_networks_take_uint8_images_and_return_logits(name, input_shape):
    network = network_of(SHAPES[name], input_shape, 5)
    assert network(random_images(input_shape)).shape == (4, 5)


def test_images_below_16_pixels_are_refused():
    with pytest.raises(InputError, match="15x15 pixels are too small"):
        network_of(SHAPES["lenet5"], (15, 15, 1), 10)


@pytest.mark.parametrize(
    ("options", "needed"),
    [({}, 16), ({"kernel": 3}, 10), ({"pool_sizes": (4, 4)}, 36),
     ({"pool_sizes": (2, 8), "padding": 2}, 16)],
)  # fmt: skip
def test_the_smallest_size_that_works_is_named(options, needed):
    shape = replace(SHAPES["lenet5"], **options)
    small = needed - 1
    with pytest.raises(InputError, match=f"{small}x{small} pixels are too small for this LeNet; use {needed}x{needed}"):
        network_of(shape, (small, small, 1), 10)
    network_of(shape, (needed, needed, 1), 10)


def test_a_size_that_lenet_does_not_take_is_not_named():
    with pytest.raises(InputError, match=r"96x96 pixels are too small for this LeNet; use smaller pool-sizes$"):
        network_of(replace(SHAPES["lenet5"], pool_sizes=(8, 8)), (96, 96, 1), 10)


def test_multiply_adds_of_lenet5_equal_those_by_hand():
    rows = layer_costs(network_of(SHAPES["lenet5"], RGB, 10), RGB)
    by_hand = 28 * 28 * 6 * 75 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert sum(row.multiply_adds for row in rows) == by_hand == 651_720


def test_trace_does_not_change_batch_norm():
    network = network_of(SHAPES["lenet5-modern"], RGB, 10).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layer_costs(network, RGB)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_needs_two_images():
    found = {name: needs_two_images(network_of(shape, RGB, 10), (3, 32, 32)) for name, shape in SHAPES.items()}
    named = {name: f"{layer}" for name, layer in found.items() if layer}
    # The other networks have batch norm of maps alone, or none.
    assert named == {"lenet5-tuned": "layer 9 (BatchNorm1d)", "lenet5-modern": "layer 11 (BatchNorm1d)"}
    tuned = network_of(SHAPES["lenet5-tuned"], RGB, 10)
    assert needs_two_images(tuned, (3, 32, 32), frozen=len(tuned) - 1) is None
