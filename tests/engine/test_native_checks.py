"""What the native engine supports, and the checks before native code runs."""

from dataclasses import replace
from math import prod
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from lenet.config import Augmentation, TrainingConfig, options
from lenet.data.plan import epoch_plan
from lenet.engine import native
from lenet.engine import torch as reference
from lenet.engine.base import Settings
from lenet.engine.choice import choose
from lenet.engine.native_network import covers
from lenet.errors import InputError
from lenet.models import SHAPES, Normalize, Residual, network_of, output_shapes

pytestmark = pytest.mark.skipif(native.available() is not None, reason=str(native.available()))


def make_model(name="lenet5-tuned"):
    return network_of(SHAPES[name], (32, 32, 3), 10)


def good_call(count=16, name="lenet5"):
    """Valid arguments of `train`."""
    rng = np.random.default_rng(0)
    plan = epoch_plan(
        np.arange(count),
        seed=0,
        epoch=0,
        epochs=1,
        batch_size=8,
        learning_rate=0.0,
        augment=Augmentation("random", 3),
    )
    return {
        "model": make_model(name),
        "optimizer_state": {},
        "images": rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        "labels": rng.integers(0, 10, count),
        "plan": plan,
        "settings": Settings(TrainingConfig(optimizer="adam")),
    }


UNCOVERED = {
    "layer 1 (Conv2d) has stride (3, 3)": nn.Conv2d(3, 4, 3, stride=3),
    "layer 1 (Conv2d) has kernel size (7, 7)": nn.Conv2d(3, 4, 7),
    "layer 1 (Conv2d) has padding mode 'reflect'": nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "layer 1 (MaxPool2d) has kernel size (2, 3)": nn.MaxPool2d((2, 3)),
    "layer 1 (MaxPool2d) has kernel size (16, 16)": nn.MaxPool2d(16),
    "layer 1 (MaxPool2d) has ceil_mode or a dilation": nn.MaxPool2d(2, ceil_mode=True),
    "layer 1 (AvgPool2d) has padding and count_include_pad=False": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "layer 1 (AvgPool2d) has divisor_override": nn.AvgPool2d(2, divisor_override=3),
    "layer 1 (BatchNorm2d) has affine=False": nn.BatchNorm2d(3, affine=False),
    "layer 1 (BatchNorm1d) needs a Flatten before it": nn.BatchNorm1d(3),
    "layer 1 (Linear) needs a Flatten": nn.Linear(32, 4),
    "layer 1 (GELU) is not supported": nn.GELU(),
    "layer 1 (Dropout) has p=1": nn.Dropout(1.0),
    "layer 1 (Residual) has only Dropout in its body": Residual(nn.Sequential(nn.Dropout(0.1))),
    "layer 1, shortcut 0 (GELU) is not supported": Residual(nn.Sequential(nn.ReLU()), nn.Sequential(nn.GELU())),
    "layer 1 (Normalize) is not the first layer": Normalize([0.5], [0.5]),
}


@pytest.mark.parametrize("reason", UNCOVERED)
def test_an_unsupported_layer_is_named(reason):
    model = nn.Sequential(Normalize([0.5] * 3, [0.2] * 3), UNCOVERED[reason], nn.Flatten(), nn.Linear(9, 2))
    assert covers(model).startswith(reason)
    with pytest.raises(InputError, match="does not support this model"):
        native.logits(model, good_call()["images"], Settings())


def test_layers_that_share_tensors_are_refused():
    norm = nn.BatchNorm2d(3)
    model = nn.Sequential(Normalize([0.5] * 3, [0.2] * 3), norm, norm, nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    with pytest.raises(InputError, match=r"layer 2 \(BatchNorm2d\) shares its weight with another layer"):
        native.logits(model, good_call()["images"], Settings())


TOO_LARGE = {
    "layer 1 (Conv2d) has 117,964,800 values per image": lambda: [nn.Conv2d(3, 1 << 17, 3), nn.AdaptiveAvgPool2d(1)],
    "layer 2 (Conv2d) has 27,084,800 values per image": lambda: [
        nn.Conv2d(3, 512, 3),
        nn.Conv2d(512, 1, 3, padding=100),
        nn.AdaptiveAvgPool2d(1),
    ],
    "layer 2 (Linear) has 100,663,296 weights": lambda: [nn.Flatten(), nn.Linear(3 * 32 * 32, 1 << 15)],
}


@pytest.mark.parametrize("reason", TOO_LARGE)
def test_auto_takes_torch_for_layers_beyond_32_bit_offsets(reason):
    with torch.device("meta"):  # allocates nothing
        model = nn.Sequential(Normalize([0.5] * 3, [0.2] * 3), *TOO_LARGE[reason]())
        features = prod(output_shapes(model, (3, 32, 32))[-1])
        model.extend([*([] if isinstance(model[1], nn.Flatten) else [nn.Flatten()]), nn.Linear(features, 10)])
    assert covers(model, Settings()) is None
    assert covers(model, Settings(), (3, 32, 32)).startswith(reason)
    choice = choose("auto", model, Settings(), (32, 32, 3))
    assert choice.name == "torch"
    assert choice.why.startswith(reason)


def test_every_shape_is_supported():
    for name in SHAPES:
        assert covers(make_model(name), Settings()) is None
    assert "device cuda" in covers(make_model(), Settings(device="cuda"))


def _bad_calls():
    """Name -> (function that makes a valid call invalid, error message)."""

    def on(what, change):
        def apply(call):
            call[what] = change(call.get(what))

        return apply

    def half(call):
        call["model"][1].half()

    def read_only_view(call):
        call["model"][1].weight.data = call["model"][1].weight.data.transpose(2, 3)

    def state(**changes):
        def apply(call):
            native.train(**call)
            call["optimizer_state"].update(changes)

        return apply

    def planned(**fields):
        return on("plan", lambda plan: replace(plan, **fields))

    labels = np.zeros(16, np.int64)
    return {
        "dtype of the model": (half, "1.weight is torch.float16"),
        "mixed dtypes": (lambda call: call["model"][1].double(), "all tensors float32, or all float64"),
        "layout of the model": (read_only_view, "not contiguous"),
        "dtype of the state": (
            state(**{"1.weight/exp_avg": torch.zeros(6, 3, 5, 5).double()}),
            "exp_avg is torch.float64",
        ),
        "shape of the state": (state(**{"1.weight/exp_avg": torch.zeros(6, 3, 5)}), "has shape"),
        "step of the state": (state(**{"1.weight/step": torch.zeros(1)}), "single float32"),
        "dtype of images": (on("images", lambda x: x.astype(np.float32)), "images must be uint8"),
        "images of another size": (on("images", lambda x: np.ascontiguousarray(x[:, 4:])), "expects 400 features"),
        "images of another depth": (on("images", lambda x: np.ascontiguousarray(x[..., :1])), "channels"),
        "scattered images": (on("images", lambda x: x[:, ::-1]), "contiguous"),
        "too few images": (on("images", lambda x: x[:9]), "outside the 9 images"),
        "negative order": (on("plan", lambda p: replace(p, order=p.order - 1)), "outside the 16 images"),
        "dtype of order": (on("plan", lambda p: replace(p, order=p.order.astype(np.int32))), "order must be int64"),
        "steps past the end": (on("plan", lambda p: replace(p, steps=p.steps + 1)), "outside its 16 positions"),
        "empty step": (on("plan", lambda p: replace(p, steps=p.steps * 0)), "is empty"),
        "few rates": (
            on("plan", lambda p: replace(p, learning_rates=p.learning_rates[:1])),
            "2 steps but 1 learning rates",
        ),
        "few flips": (on("plan", lambda p: replace(p, flips=p.flips[:3])), "one flip and two shifts"),
        "far shifts": (
            on("plan", lambda p: replace(p, shifts=np.full_like(p.shifts, -128))),
            r"by \[128, 128\] pixels",
        ),
        "few warps": (planned(warps=np.zeros((3, 2, 3), np.int32)), r"warps must be \[16, 2, 3\], not \[3, 2, 3\]"),
        "dtype of warps": (planned(warps=np.zeros((16, 2, 3))), "warps must be int32"),
        "far warps": (planned(warps=np.full((16, 2, 3), 2**30, np.int32)), "reach too far outside"),
        "far warps below": (planned(warps=np.full((16, 2, 3), -(2**31), np.int32)), "reach too far outside"),
        "shape of colours": (planned(colours=np.zeros((16, 4), np.int32)), r"colours must be \[16, 3\]"),
        "extreme colours": (planned(colours=np.full((16, 3), -(2**31), np.int32)), "colours must lie between"),
        "shape of boxes": (planned(boxes=np.zeros((4, 16), np.int16)), r"boxes must be \[16, 4\]"),
        "boxes above": (planned(boxes=np.full((16, 4), -1, np.int16)), "boxes must lie in the images of 32x32"),
        "boxes below": (planned(boxes=np.tile(np.int16([0, 0, 33, 1]), (16, 1))), "boxes must lie in"),
        "boxes beside": (planned(boxes=np.tile(np.int16([0, 0, 1, 33]), (16, 1))), "boxes must lie in"),
        "boxes of negative width": (planned(boxes=np.tile(np.int16([0, 9, 5, 8]), (16, 1))), "boxes must lie in"),
        "labels above": (on("labels", lambda _: labels + 10), "label 10 is outside"),
        "labels below": (on("labels", lambda _: labels - 1), "label -1 is outside"),
        "few labels": (on("labels", lambda _: labels[:5]), "5 labels for 16 images"),
        "dtype of labels": (on("labels", lambda _: labels.astype(np.int32)), "labels must be int64"),
        "soft targets of another shape": (
            on("soft_targets", lambda _: np.zeros((16, 3), np.float32)),
            "soft targets must be",
        ),
        "threads": (on("settings", lambda s: replace(s, threads=0)), "threads must be"),
    }


@pytest.mark.parametrize("case", _bad_calls())
def test_bad_input_is_refused_before_native_code(case):
    change, message = _bad_calls()[case]
    call = good_call()
    change(call)
    with pytest.raises(InputError, match=message):
        native.train(**call)


@pytest.mark.parametrize("optimizer", get_args(options()["optimizer"].kind))
def test_each_optimizer_of_the_option_is_supported(optimizer):
    call = good_call()
    assert native.train(**call | {"settings": Settings(TrainingConfig(optimizer=optimizer))}).images == 16


def test_read_only_images_are_accepted():
    call = good_call()
    call["images"].flags.writeable = False
    native.train(**call)


def test_batch_norm_on_one_value_per_channel_raises_as_in_pytorch():
    for engine in (native, reference):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
            engine.train(**good_call(9, "lenet5-tuned"))
