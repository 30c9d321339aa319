"""What the native engine covers, and the refusal of whatever its C++ could not survive.

What native code does cannot be undone by an exception, so all that could be wrong is found here, before any of it runs.
"""

from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from lenet.data.plan import Plan
from lenet.engine.base import Settings
from lenet.errors import InputError
from lenet.models import Normalize, kind_of, output_shapes

_DTYPES = (torch.float32, torch.float64)


def covers(model: nn.Sequential, settings: Settings | None = None) -> str | None:
    """Why this engine cannot train the model with these settings, naming the layer; None where it can."""
    if settings is not None and settings.device != "cpu":
        return f"it computes on the CPU, not on {settings.device}"
    if not any(isinstance(layer, nn.Linear) for layer in model):
        return "the model has no linear layer"
    flat = not isinstance(model[0], Normalize)
    for number, layer in enumerate(model):
        kind = kind_of(layer, number)
        reason = kind.uncovered(layer, flat) if kind.native else "is of a kind it does not have"
        if isinstance(layer, Normalize) and number:
            reason = "is not the first"
        if reason:
            return f"layer {number} ({kind.name}) {reason}"
        flat = flat or isinstance(layer, nn.Flatten)
    return None


def check_model(model: nn.Sequential, images: np.ndarray, settings: Settings) -> int:
    """Refuses what native code could not survive; gives the number of classes."""
    reason = covers(model, settings)
    if reason:
        raise InputError(f"the native engine does not fit: {reason}")
    if not 1 <= settings.threads <= 1024:
        raise InputError(f"threads must be between 1 and 1024, not {settings.threads}")
    pixels = isinstance(model[0], Normalize)
    _check_array("images", images, np.uint8 if pixels else np.float32, 4 if pixels else 2)
    _check_tensors(model)
    output = output_shapes(model, _image_shape(images))[-1]
    if len(output) != 1:
        raise InputError(f"the model gives maps of {output}, not logits: end it with Flatten and Linear")
    return output[0]


def _image_shape(images: np.ndarray) -> tuple[int, ...]:
    """The shape of one image as layers see it."""
    return (images.shape[3], *images.shape[1:3]) if images.ndim == 4 else images.shape[1:]


def _check_tensors(model: nn.Sequential) -> None:
    """That all tensors are of the shapes their layers' arguments imply: memory is addressed by these."""
    dtype = next(p.dtype for layer in reversed(model) for p in layer.parameters())
    for number, layer in enumerate(model):
        kind, found = kind_of(layer, number), {**layer._parameters, **layer._buffers}
        expected = kind.tensors(layer)
        for name, tensor in found.items():
            if tensor is None:
                continue
            if name not in expected:
                raise InputError(f"layer {number} ({kind.name}) has an unknown tensor '{name}'")
            counts = name == "num_batches_tracked"
            check_tensor(f"{number}.{name}", tensor, expected[name], torch.int64 if counts else dtype)
        if missing := [name for name in expected if found.get(name) is None]:
            raise InputError(f"layer {number} ({kind.name}) has no {missing[0]}")


def check_tensor(name: str, tensor: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tensor.device.type != "cpu":
        raise InputError(f"{name} is on {tensor.device}; the native engine needs it on the CPU")
    if tensor.dtype != dtype or dtype not in (*_DTYPES, torch.int64):
        raise InputError(f"{name} is {tensor.dtype}; the native engine needs all of float32, or all of float64")
    if tuple(tensor.shape) != tuple(shape):
        raise InputError(f"{name} is of shape {list(tensor.shape)}, not {list(shape)}")
    if not tensor.is_contiguous():
        raise InputError(f"{name} is not contiguous in memory: use .contiguous()")


def _check_array(name: str, array: np.ndarray, dtype: Any, ndim: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{name} must be {np.dtype(dtype)} of {ndim} dimensions, not {found}")
    if not array.flags.c_contiguous or not array.flags.aligned:
        raise InputError(f"{name} must be contiguous in memory: use numpy.ascontiguousarray")


def check_plan(plan: Plan, images: np.ndarray, targets: np.ndarray, classes: int) -> None:
    for name, dtype, ndim in (("order", np.int64, 1), ("flips", np.uint8, 1), ("shifts", np.int8, 2),
                              ("steps", np.int64, 2), ("learning_rates", np.float64, 1)):  # fmt: skip
        _check_array(f"the plan's {name}", getattr(plan, name), dtype, ndim)
    positions, count = len(plan.order), len(plan.steps)
    if plan.flips.shape != (positions,) or plan.shifts.shape != (positions, 2):
        raise InputError(f"the plan's flips and shifts must be for its {positions} positions")
    if plan.steps.shape != (count, 2) or plan.learning_rates.shape != (count,):
        raise InputError(f"the plan's steps and learning rates differ in number: {count}, {len(plan.learning_rates)}")
    if not 0 <= plan.dropout_key < 2**64:
        raise InputError("the plan's dropout key is not an unsigned 64-bit number")
    if count == 0:
        return
    begins, ends = plan.steps[:, 0], plan.steps[:, 1]
    if begins.min() < 0 or ends.max() > positions or (ends <= begins).any():
        raise InputError(f"a step of the plan is empty or outside its {positions} positions")
    first, last = int(begins.min()), int(ends.max())
    order = plan.order[first:last]
    if order.min() < 0 or order.max() >= len(images):
        raise InputError(f"the plan's order points outside the {len(images)} images")
    if images.ndim == 4:
        reach = np.abs(plan.shifts[first:last].astype(np.int16)).max(axis=0)
        if reach[0] >= images.shape[1] or reach[1] >= images.shape[2]:
            size = f"{images.shape[1]}x{images.shape[2]}"
            raise InputError(f"the plan shifts images of {size} by {reach.tolist()} pixels")
    if targets.ndim == 2:
        _check_array("soft targets", targets, np.float32, 2)
        if targets.shape != (positions, classes):
            raise InputError(f"soft targets must be [{positions}, {classes}], not {list(targets.shape)}")
    else:
        _check_array("targets", targets, np.int64, 1)
        if len(targets) != len(images):
            raise InputError(f"there are {len(targets)} targets for {len(images)} images")
        labels = targets[order]
        if labels.min() < 0 or labels.max() >= classes:
            wrong = int(labels.min() if labels.min() < 0 else labels.max())
            raise InputError(f"a label of {wrong} is outside the model's {classes} classes")


def check_batch_norm(model: nn.Sequential, images: np.ndarray, plan: Plan, settings: Settings) -> None:
    """As PyTorch: batch norm cannot learn from a single value a channel."""
    smallest = int((plan.steps[:, 1] - plan.steps[:, 0]).min())
    if smallest > 1:
        return
    for number, (layer, shape) in enumerate(zip(model, output_shapes(model, _image_shape(images)), strict=True)):
        alone = prod(shape[1:]) == 1
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and number >= settings.frozen and alone:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got a batch of 1 at layer {number} "
                f"({type(layer).__name__}): use drop_single, or another batch size"
            )
