"""A network as plain steps: the same function as the network, whatever its layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lenet.errors import InputError
from lenet.exports import steps as s
from lenet.exports.network import READERS, read_network, steps_of
from lenet.models import KINDS, MODULES, Normalize
from lenet.runs.run import Run

# PyTorch warns that it may copy the input.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


def computed(steps, x):
    """The steps applied to float32 [N, C, H, W], each as its description says."""
    for step in steps:
        assert tuple(x.shape[1:]) == step.input, step.where
        x = one(step, x)
        assert tuple(x.shape[1:]) == step.output, step.where
    return x


def one(step, x):
    match step:
        case s.Conv():
            top, left, bottom, right = step.padding
            mode = "constant" if step.padding_mode == "zeros" else step.padding_mode
            padded = F.pad(x, (left, right, top, bottom), mode)
            weights = torch.from_numpy(step.weight), torch.from_numpy(step.bias)
            return F.conv2d(padded, *weights, step.stride, 0, step.dilation, step.groups)
        case s.Linear():
            return x @ torch.from_numpy(step.weight).T + torch.from_numpy(step.bias)
        case s.Scale():
            shape = (-1, *[1] * (x.ndim - 2))
            return x * torch.from_numpy(step.factor).reshape(shape) + torch.from_numpy(step.shift).reshape(shape)
        case s.Activation(function="leaky_relu"):
            return F.leaky_relu(x, step.slope)
        case s.Activation(function="gelu_tanh"):
            return F.gelu(x, approximate="tanh")
        case s.Activation():
            return {"relu": F.relu, "tanh": torch.tanh, "gelu": F.gelu}[step.function](x)
        case s.MaxPool():
            top, left, bottom, right = step.padding
            padded = F.pad(x, (left, right, top, bottom), value=-torch.inf)
            return F.max_pool2d(padded, step.kernel, step.stride, 0, step.dilation)
        case s.AveragePool():
            rows, columns = (
                torch.tensor([[span.weight * (span.begin <= i < span.end) for i in range(side)] for span in spans])
                for spans, side in zip((step.rows, step.columns), step.input[1:], strict=True)
            )
            return torch.einsum("nchw,yh,xw->ncyx", x, rows, columns)
        case s.Flatten():
            return x.flatten(1)
        case s.Residual():
            return computed(step.body, x) + computed(step.shortcut, x)


def test_every_kind_of_layer_is_read():
    assert {MODULES[kind.name] for kind in KINDS} == READERS.keys()


def test_steps_compute_what_the_network_computes(any_network, some_images):
    steps = steps_of(any_network, (16, 16, 3))
    with torch.no_grad():
        x = any_network[0](torch.from_numpy(some_images))
        torch.testing.assert_close(computed(steps, x), any_network(torch.from_numpy(some_images)), atol=2e-5, rtol=2e-5)


def test_arrays_are_float32_and_of_the_network_no_longer(any_network):
    for step in s.every_step(steps_of(any_network, (16, 16, 3))):
        for value in vars(step).values():
            if isinstance(value, np.ndarray):
                assert value.dtype == np.float32
                value += 1  # a copy: the network stays as it was
    again = steps_of(any_network, (16, 16, 3))
    assert all(
        np.isfinite(v).all() for step in s.every_step(again) for v in vars(step).values() if isinstance(v, np.ndarray)
    )


def kinds(*layers, shape=(8, 8, 3)):
    return [type(step).__name__ for step in steps_of(nn.Sequential(Normalize([0.5] * 3, [0.2] * 3), *layers), shape)]


def test_batch_norm_disappears_where_that_is_exact():
    conv, norm, last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 3 * 3, 2)
    tail = (nn.Flatten(), last)
    pool = nn.MaxPool2d(2)
    assert kinds(conv, norm, nn.ReLU(), pool, *tail) == ["Conv", "Activation", "MaxPool", "Flatten", "Linear"]
    assert kinds(conv, nn.ReLU(), pool, norm, *tail) == ["Conv", "Activation", "MaxPool", "Flatten", "Linear"]
    padded = nn.Conv2d(4, 4, 3, padding=1)
    assert kinds(conv, nn.ReLU(), pool, norm, padded, *tail)[3:5] == ["Scale", "Conv"]
    mirrored = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    assert kinds(conv, nn.ReLU(), pool, norm, mirrored, *tail)[3:5] == ["Conv", "Flatten"]
    assert kinds(conv, nn.ReLU(), pool, nn.Flatten(), nn.BatchNorm1d(36), nn.ReLU(), last)[4] == "Scale"


def test_a_network_knows_its_run(digits_run):
    checkpoint = digits_run.checkpoint()
    found = read_network(digits_run, checkpoint, 1)
    assert found.classes == tuple("0123456789")
    assert (found.input_shape, found.fit, found.mean.shape) == ((16, 16, 1), "crop", (1,))
    assert found.temperature == checkpoint.temperature[1]
    result = digits_run.result
    assert found.provenance.data == "digits"
    assert found.provenance.data_sha256 == result["data_sha256"]
    assert found.provenance.test_accuracy == result["test_accuracy"]["each"][1]
    assert (found.provenance.network, found.provenance.seed) == (1, 1)
    assert found.provenance.lenet


def test_a_checkpoint_without_a_result_has_no_test_accuracy(digits_run, tmp_path):
    found = read_network(Run(tmp_path), digits_run.checkpoint(), 0)
    assert found.provenance.test_accuracy is None
    assert found.provenance.data == "digits"


def test_a_layer_that_no_export_knows_is_named(digits_run, monkeypatch):
    monkeypatch.delitem(READERS, nn.MaxPool2d)
    with pytest.raises(InputError, match=r"layer 4 \(MaxPool2d\) cannot be exported \(supported: Normalize, Conv2d"):
        read_network(digits_run, digits_run.checkpoint(), 0)


def test_normalize_belongs_in_front_and_weights_are_finite(digits_run):
    checkpoint = digits_run.checkpoint()
    without = replace(checkpoint, networks=[nn.Sequential(*list(network)[1:]) for network in checkpoint.networks])
    with pytest.raises(InputError, match=r"layer 0 \(Conv2d\) must be Normalize"):
        read_network(digits_run, without, 0)
    with pytest.raises(InputError, match=r"layer 1 \(Normalize\) cannot be exported: only the first"):
        kinds(Normalize([0.5] * 3, [0.2] * 3), nn.Flatten(), nn.Linear(192, 2))
    with torch.no_grad():
        checkpoint.networks[0][1].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match=r"layer 1 \(Conv2d\) cannot be exported: its weight is not finite"):
        read_network(digits_run, checkpoint, 0)


def test_a_weight_that_overflows_with_its_batch_norm_is_refused():
    conv, norm = nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1, eps=1e-12)
    conv.weight.data.fill_(1e35)
    norm.running_var.zero_()
    with pytest.raises(InputError, match=r"layer 1 \(Conv2d\) cannot be exported: .* its weight is too large"):
        kinds(conv, norm, nn.Flatten(), nn.Linear(64, 2))
