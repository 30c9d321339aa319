"""Residual blocks: what they compute, their description, their shapes, and what their branches may hold."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from lenet.errors import InputError
from lenet.models import Normalize, Residual, build, describe, every_layer, fitted, output_shapes, plain


def conv(inputs, outputs, stride=1):
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def block(inputs=3, outputs=3, stride=1, shortcut=None):
    body = [conv(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU(), conv(outputs, outputs)]
    return Residual(nn.Sequential(*body), shortcut)


def projection(inputs, outputs, stride=2):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride))


def network(*layers, features=3 * 8 * 8):
    return nn.Sequential(Normalize([0.5] * 3, [0.25] * 3), *layers, nn.Flatten(), nn.Linear(features, 5))


def fit(model):
    return fitted(model, (8, 8, 3), 5, [0.5] * 3, [0.25] * 3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return network(block(), nn.ReLU(), block(3, 6, 2, projection(3, 6)), features=6 * 4 * 4).eval()


def test_a_block_adds_its_shortcut():
    x = torch.randn(2, 3, 8, 8)
    one, other = block(), block(3, 6, 2, projection(3, 6))
    torch.testing.assert_close(one(x), one.body(x) + x)
    torch.testing.assert_close(other(x), other.body(x) + other.shortcut(x))
    assert isinstance(one.shortcut, nn.Sequential)
    assert len(one.shortcut) == 0


@pytest.mark.parametrize("branches", [{"body": [nn.ReLU()]}, {"body": nn.Sequential(nn.ReLU()), "shortcut": nn.ReLU()}])
def test_branches_must_be_sequential(branches):
    with pytest.raises(
        InputError, match=r"the (body|shortcut) of a Residual must be an nn.Sequential, not a (list|ReLU)"
    ):
        Residual(**branches)


def test_the_description_is_of_all_layers_and_builds_the_same_network(model):
    described = describe(model)
    assert described[1]["body"][1] == {**describe(nn.Sequential(nn.BatchNorm2d(3)))[0]}
    assert described[1]["shortcut"] == []
    again = build(json.loads(json.dumps(described)))
    assert repr(again) == repr(model)
    assert {name: t.shape for name, t in again.state_dict().items()} == {
        name: t.shape for name, t in model.state_dict().items()
    }


def test_layers_without_pytorch_share_memory_with_the_network(model):
    layers = plain(model)
    assert [type(layer).__name__ for layer in layers[1].body] == ["Layer"] * 4
    assert layers[1].shortcut == ()
    with torch.no_grad():
        model[3].shortcut[0].weight.fill_(2)
    assert (layers[3].shortcut[0].weight == 2).all()
    fresh = layers[1].without_tensors()
    assert not hasattr(fresh.body[0], "weight")
    assert np.shares_memory(layers[1].body[0].weight, model[1].body[0].weight.detach().numpy())


def test_layers_are_named_as_in_a_state_dict(model):
    assert [place.name for place in every_layer(model)][:6] == [
        "0",
        "1.body.0",
        "1.body.1",
        "1.body.2",
        "1.body.3",
        "1",
    ]
    assert [str(place) for place in every_layer(model)][9:14] == [
        "layer 3, body 2 (ReLU)", "layer 3, body 3 (Conv2d)", "layer 3, shortcut 0 (Conv2d)", "layer 3 (Residual)",
        "layer 4 (Flatten)",
    ]  # fmt: skip
    assert output_shapes(model, (3, 8, 8)) == [(3, 8, 8), (3, 8, 8), (3, 8, 8), (6, 4, 4), (96,), (5,)]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [block(3, 6, 2, projection(3, 6, 1))],
            r"layer 1 \(Residual\) has a body that returns \(6, 4, 4\) and a shortcut that returns \(6, 8, 8\)",
        ),
        (
            [block(3, 6)],
            r"layer 1 \(Residual\) has a body that returns \(6, 8, 8\), which cannot be added to its input of \(3",
        ),
        ([block(4, 4)], r"layer 1, body 0 \(Conv2d\) expects 4 channels, but its input has 3"),
        ([block(3, 3, 1, projection(5, 3))], r"layer 1, shortcut 0 \(Conv2d\) expects 5 channels, but its input has 3"),
        ([Residual(nn.Sequential(nn.MaxPool2d(9)))], r"layer 1, body 0 \(MaxPool2d\) has no output for an input of 8"),
        ([nn.Flatten(), Residual(nn.Sequential(nn.ReLU()))], r"layer 2 \(Residual\) expects maps"),
        ([Residual(nn.Sequential(nn.ReLU(), nn.Flatten()))], r"layer 1, body 1: Flatten cannot be in a branch"),
        (
            [Residual(nn.Sequential(nn.Sigmoid()))],
            r"layer 1, body 0: Sigmoid is not supported \(supported there: Conv2d,",
        ),
        (
            [Residual(nn.Sequential(block()))],
            r"layer 1, body 0: Residual cannot be in a branch \(supported there: Conv2d",
        ),
        ([Residual(nn.Sequential())], r"layer 1 \(Residual\): body has no layers"),
    ],
)
def test_a_block_that_cannot_work_is_refused_with_its_place(layers, message):
    with pytest.raises(InputError, match=message) as refused:
        fit(network(*layers))
    assert "\n" not in str(refused.value)


class Mine(nn.Sequential):
    def forward(self, x):
        return x


def test_what_a_checkpoint_cannot_keep_is_refused_in_branches_too():
    def refused(change, message):
        model = network(block(3, 6, 2, projection(3, 6)), features=6 * 4 * 4)
        change(model[1])
        with pytest.raises(InputError, match=message):
            fit(model)

    refused(
        lambda one: setattr(one, "body", nn.ReLU()), r"layer 1 \(Residual\): body must be an nn.Sequential, not a ReLU"
    )
    refused(lambda one: setattr(one, "shortcut", Mine()), "Mine has its own forward method")
    hooks = r"layer 1{} has hooks, which a checkpoint cannot keep"
    refused(lambda one: one.body[0].register_forward_hook(print), hooks.format(r", body 0 \(Conv2d\)"))
    refused(lambda one: one.body.register_forward_pre_hook(print), hooks.format(r" \(Residual\)"))
    refused(lambda one: one.register_forward_hook(print), hooks.format(r" \(Residual\)"))
    extra = torch.zeros(1)
    refused(lambda one: one.body[2].register_buffer("x", extra), r"layer 1, body 2 \(ReLU\) has an extra tensor 'x'")
    refused(lambda one: one.body.register_buffer("x", extra), r"layer 1 \(Residual\) has an extra tensor 'body.x'")
    refused(lambda one: one.register_buffer("x", extra), r"layer 1 \(Residual\) has an extra tensor 'x'")
    refused(
        lambda one: one.shortcut.requires_grad_(False),
        r"layer 1, shortcut 0 \(Conv2d\): weight has requires_grad=False",
    )
    refused(lambda one: one.body[3].double(), r"layer 1, body 3 \(Conv2d\): weight is torch.float64")
    shared = "two layers of the model share weights"
    model = network(block(), nn.ReLU(), block())
    model[3].body[0] = model[1].body[0]
    with pytest.raises(InputError, match=shared):
        fit(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layer: layer.update(body="ReLU"), r"layer 0 \(Residual\): body must be a list of layers, not ReLU"),
        (lambda layer: layer.update(body=[]), r"layer 0 \(Residual\): body has no layers"),
        (
            lambda layer: layer.update(shortcut=None),
            r"layer 0 \(Residual\): shortcut must be a list of layers, not None",
        ),
        (lambda layer: layer.pop("shortcut"), r"layer 0 \(Residual\): argument 'shortcut' is missing"),
        (lambda layer: layer.update(stride=2), r"layer 0 \(Residual\): argument 'stride' is unknown"),
        (lambda layer: layer["body"][0].update(stride=0), r"layer 0, body 0 \(Conv2d\): stride must be a whole number"),
        (lambda layer: layer["body"][0].update(groups=2), r"layer 0, body 0 \(Conv2d\): in_channels must be divisible"),
        (lambda layer: layer["body"].append(3), r"layer 0, body 4: kind 3 is not supported \(supported there: Conv2d"),
        (
            lambda layer: layer["shortcut"].append(copy.deepcopy(layer)),
            r"layer 0, shortcut 0: kind 'Residual' cannot be in",
        ),
    ],
)
def test_a_damaged_description_is_refused_with_its_place(change, message):
    (layer,) = describe(nn.Sequential(block()))
    change(layer)
    with pytest.raises(InputError, match=message):
        build([layer])


def test_a_layer_in_place_leaves_the_other_branch_its_input():
    images = torch.randn(2, 3, 8, 8)
    one = Residual(nn.Sequential(nn.ReLU(inplace=True), conv(3, 3)))
    torch.testing.assert_close(one(images.clone()), one.body[1](images.relu()) + images)
    inner = Residual(nn.Sequential(Residual(nn.Sequential(nn.LeakyReLU(0.1, inplace=True)))))
    torch.testing.assert_close(inner(images.clone()), 2 * images + nn.functional.leaky_relu(images, 0.1))
