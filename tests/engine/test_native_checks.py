"""What the native engine covers, and what it refuses before any native code runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lenet.config import TrainingConfig
from lenet.data.plan import epoch_plan
from lenet.engine import native
from lenet.engine import torch as reference
from lenet.engine.base import Settings
from lenet.engine.native_checks import covers
from lenet.errors import InputError
from lenet.models import SHAPES, Normalize, lenet

pytestmark = pytest.mark.skipif(native.available() is not None, reason=str(native.available()))


def make_model(name="lenet5-tuned"):
    return lenet(SHAPES[name], (32, 32, 3), 10)


def good_call(count=16, name="lenet5"):
    """Arguments of `train` with nothing wrong about them."""
    rng = np.random.default_rng(0)
    plan = epoch_plan(
        np.arange(count), seed=0, epoch=0, epochs=1, batch_size=8, learning_rate=0.0, flip=True, max_shift=3
    )
    return {
        "model": make_model(name),
        "optimizer_state": {},
        "images": rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        "targets": rng.integers(0, 10, count),
        "plan": plan,
        "settings": Settings(TrainingConfig(optimizer="adam")),
    }


UNCOVERED = {
    "layer 1 (Conv2d) has a stride": nn.Conv2d(3, 4, 3, stride=2),
    "layer 1 (Conv2d) has a kernel of (7, 7)": nn.Conv2d(3, 4, 7),
    "layer 1 (Conv2d) pads by 'reflect'": nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "layer 1 (MaxPool2d) is not plain": nn.MaxPool2d(3),
    "layer 1 (AvgPool2d) has its own divisor": nn.AvgPool2d(2, divisor_override=3),
    "layer 1 (BatchNorm2d) is not affine": nn.BatchNorm2d(3, affine=False),
    "layer 1 (BatchNorm1d) does not fit": nn.BatchNorm1d(3),
    "layer 1 (Linear) needs a Flatten": nn.Linear(32, 4),
    "layer 1 (GELU) is of a kind": nn.GELU(),
    "layer 1 (Dropout) drops everything": nn.Dropout(1.0),
    "layer 1 (Normalize) is not the first": Normalize([0.5], [0.5]),
}


@pytest.mark.parametrize("reason", UNCOVERED)
def test_what_it_does_not_cover(reason):
    model = nn.Sequential(Normalize([0.5] * 3, [0.2] * 3), UNCOVERED[reason], nn.Flatten(), nn.Linear(9, 2))
    assert covers(model).startswith(reason)
    with pytest.raises(InputError, match="does not fit"):
        native.logits(model, good_call()["images"], Settings())


def test_covers_every_shape():
    for name in SHAPES:
        assert covers(make_model(name), Settings()) is None
    assert "not on cuda" in covers(make_model(), Settings(device="cuda"))


def _bad_calls():
    """Name -> (changes a good call, what the refusal says)."""

    def on(what, change):
        def apply(call):
            call[what] = change(call[what])

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

    labels = np.zeros(16, np.int64)
    return {
        "dtype of the model": (half, "1.weight is torch.float16"),
        "mixed dtypes": (lambda call: call["model"][1].double(), "all of float32, or all of float64"),
        "layout of the model": (read_only_view, "not contiguous"),
        "dtype of the state": (
            state(**{"1.weight/exp_avg": torch.zeros(6, 3, 5, 5).double()}),
            "exp_avg is torch.float64",
        ),
        "shape of the state": (state(**{"1.weight/exp_avg": torch.zeros(6, 3, 5)}), "is of shape"),
        "step of the state": (state(**{"1.weight/step": torch.zeros(1)}), "single float32"),
        "dtype of images": (on("images", lambda x: x.astype(np.float32)), "images must be uint8"),
        "images of another size": (on("images", lambda x: np.ascontiguousarray(x[:, 4:])), "takes 400 features"),
        "images of another depth": (on("images", lambda x: np.ascontiguousarray(x[..., :1])), "channels"),
        "scattered images": (on("images", lambda x: x[:, ::-1]), "contiguous"),
        "too few images": (on("images", lambda x: x[:9]), "outside the 9 images"),
        "negative order": (on("plan", lambda p: replace(p, order=p.order - 1)), "outside the 16 images"),
        "dtype of order": (on("plan", lambda p: replace(p, order=p.order.astype(np.int32))), "order must be int64"),
        "steps past the end": (on("plan", lambda p: replace(p, steps=p.steps + 1)), "outside its 16 positions"),
        "empty step": (on("plan", lambda p: replace(p, steps=p.steps * 0)), "is empty"),
        "few rates": (on("plan", lambda p: replace(p, learning_rates=p.learning_rates[:1])), "differ in number"),
        "few flips": (on("plan", lambda p: replace(p, flips=p.flips[:3])), "flips and shifts"),
        "far shifts": (
            on("plan", lambda p: replace(p, shifts=np.full_like(p.shifts, -128))),
            r"by \[128, 128\] pixels",
        ),
        "labels above": (on("targets", lambda _: labels + 10), "label of 10 is outside"),
        "labels below": (on("targets", lambda _: labels - 1), "label of -1 is outside"),
        "few labels": (on("targets", lambda _: labels[:5]), "5 targets for 16 images"),
        "dtype of labels": (on("targets", lambda _: labels.astype(np.int32)), "targets must be int64"),
        "soft targets of another shape": (
            on("targets", lambda _: np.zeros((16, 3), np.float32)),
            "soft targets must be",
        ),
        "threads": (on("settings", lambda s: replace(s, threads=0)), "threads must be"),
        "optimizer": (
            on("settings", lambda _: Settings(TrainingConfig(optimizer="lion"))),
            "no optimizer 'lion'",
        ),
    }


@pytest.mark.parametrize("case", _bad_calls())
def test_bad_input_is_refused_before_native_code(case):
    change, message = _bad_calls()[case]
    call = good_call()
    change(call)
    with pytest.raises(InputError, match=message):
        native.train(**call)


def test_read_only_images_are_fine():
    call = good_call()
    call["images"].flags.writeable = False
    native.train(**call)


def test_batch_norm_with_one_value_a_channel_raises():
    for engine in (native, reference):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
            engine.train(**good_call(9, "lenet5-tuned"))
