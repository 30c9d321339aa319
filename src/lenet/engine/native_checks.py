"""Checks of all arguments before native code trains or evaluates an nn.Sequential.

The C++ code checks nothing: wrong shapes, types or indices would read or write outside of arrays.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from lenet.data.plan import Plan
from lenet.engine.base import Settings
from lenet.engine.native_network import covers, image_shape, too_large
from lenet.errors import InputError
from lenet.models import Normalize, every_layer, needs_two_images, output_shapes

_DTYPES = (torch.float32, torch.float64)

# Pixels of an image that a 31-bit number can index with 8 bits of fraction; sums in 32 bits with room for rounding.
_MOST_WARPED = 1 << 23
_MOST_PLACE = 1 << 30
_MOST_COLOUR = 1 << 21


def check_model(model: nn.Sequential, images: np.ndarray, settings: Settings) -> int:
    """The number of classes, after checking the model, its tensors and the images. Raises InputError."""
    reason = covers(model, settings)
    if reason:
        raise InputError(f"the native engine does not support this model: {reason}")
    if not 1 <= settings.threads <= 1024:
        raise InputError(f"threads must be between 1 and 1024, not {settings.threads}")
    pixels = isinstance(model[0], Normalize)
    _check_array("images", images, np.uint8 if pixels else np.float32, 4 if pixels else 2)
    _check_tensors(model)
    shape = image_shape(images)
    output = output_shapes(model, shape)[-1]
    if len(output) != 1:
        raise InputError(f"the model returns maps of shape {output}, not logits: end it with Flatten and Linear")
    if reason := too_large(model, shape):
        raise InputError(f"the native engine does not support this model: {reason}")
    return output[0]


def _check_tensors(model: nn.Sequential) -> None:
    """Raises InputError if a tensor does not have the shape that its layer implies, by which C++ indexes it."""
    dtype = next(p.dtype for layer in reversed(model) for p in layer.parameters())
    seen = set()
    for place in every_layer(model):
        expected, found = place.kind.tensors(place.layer), {**place.layer._parameters, **place.layer._buffers}
        for name, tensor in found.items():
            if tensor is None:
                continue
            if name not in expected:
                raise InputError(f"{place} has an unknown tensor '{name}'")
            if id(tensor) in seen:  # it would have one optimizer state under two names
                raise InputError(f"{place} shares its {name} with another layer: give each its own")
            seen.add(id(tensor))
            counts = name == "num_batches_tracked"
            check_tensor(f"{place.name}.{name}", tensor, expected[name], torch.int64 if counts else dtype)
        if missing := [name for name in expected if found.get(name) is None]:
            raise InputError(f"{place} has no {missing[0]}")


def check_tensor(name: str, tensor: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Raises InputError if the tensor is not contiguous on the CPU with this shape and dtype."""
    if tensor.device.type != "cpu":
        raise InputError(f"{name} is on {tensor.device}; the native engine needs it on the CPU")
    if tensor.dtype != dtype or dtype not in (*_DTYPES, torch.int64):
        raise InputError(f"{name} is {tensor.dtype}; the native engine needs all tensors float32, or all float64")
    if tuple(tensor.shape) != tuple(shape):
        raise InputError(f"{name} has shape {list(tensor.shape)}, not {list(shape)}")
    if not tensor.is_contiguous():
        raise InputError(f"{name} is not contiguous in memory: use .contiguous()")


def _check_array(name: str, array: np.ndarray, dtype: Any, ndim: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{name} must be {np.dtype(dtype)} with {ndim} dimensions, not {found}")
    if not array.flags.c_contiguous or not array.flags.aligned:
        raise InputError(f"{name} must be contiguous in memory: use numpy.ascontiguousarray")


def check_plan(
    plan: Plan, images: np.ndarray, labels: np.ndarray, soft_targets: np.ndarray | None, classes: int
) -> None:
    """Raises InputError if the plan or the targets have wrong types or shapes, or an index out of range."""
    for name, dtype, ndim in (("order", np.int64, 1), ("flips", np.uint8, 1), ("shifts", np.int8, 2),
                              ("steps", np.int64, 2), ("learning_rates", np.float64, 1)):  # fmt: skip
        _check_array(f"the plan's {name}", getattr(plan, name), dtype, ndim)
    positions, count = len(plan.order), len(plan.steps)
    if plan.flips.shape != (positions,) or plan.shifts.shape != (positions, 2):
        raise InputError(f"the plan must have one flip and two shifts for each of its {positions} positions")
    if plan.steps.shape != (count, 2) or plan.learning_rates.shape != (count,):
        raise InputError(f"the plan has {count} steps but {len(plan.learning_rates)} learning rates")
    if not 0 <= plan.dropout_key < 2**64:
        raise InputError("the plan's dropout key must be an unsigned 64-bit number")
    if count == 0:
        return
    begins, ends = plan.steps[:, 0], plan.steps[:, 1]
    if begins.min() < 0 or ends.max() > positions or (ends <= begins).any():
        raise InputError(f"a step of the plan is empty or outside its {positions} positions")
    first, last = int(begins.min()), int(ends.max())
    order = plan.order[first:last]
    if order.min() < 0 or order.max() >= len(images):
        raise InputError(f"the plan's order has an index outside the {len(images)} images")
    if images.ndim == 4:
        height, width = images.shape[1:3]
        reach = np.abs(plan.shifts[first:last].astype(np.int16)).max(axis=0)
        if reach[0] >= height or reach[1] >= width:
            raise InputError(f"the plan shifts images of {height}x{width} by {reach.tolist()} pixels")
        _check_augmentation(plan, first, last, height, width)
    if soft_targets is not None:
        _check_array("soft targets", soft_targets, np.float32, 2)
        if soft_targets.shape != (positions, classes):
            raise InputError(f"soft targets must be [{positions}, {classes}], not {list(soft_targets.shape)}")
    _check_array("labels", labels, np.int64, 1)
    if len(labels) != len(images):
        raise InputError(f"there are {len(labels)} labels for {len(images)} images")
    used = labels[order]
    if used.min() < 0 or used.max() >= classes:
        wrong = int(used.min() if used.min() < 0 else used.max())
        raise InputError(f"label {wrong} is outside the model's {classes} classes")


def check_class_weights(settings: Settings, classes: int) -> None:
    """Raises InputError unless there is a finite weight above 0 for each class, or there are no weights."""
    weights = settings.class_weights
    if weights is None:
        return
    if len(weights) != classes:
        raise InputError(f"there are {len(weights)} class weights for {classes} classes")
    if wrong := [weight for weight in weights if not 0 < weight < float("inf")]:
        raise InputError(f"a class weight must be finite and above 0, not {wrong[0]}")


def _check_augmentation(plan: Plan, first: int, last: int, height: int, width: int) -> None:
    """Raises InputError if positions [first, last) of the plan's warps, colours or boxes would overflow 32 bits, or
    write outside of an image.
    """
    for name, dtype, shape in (("warps", np.int32, (2, 3)), ("colours", np.int32, (3,)), ("boxes", np.int16, (4,))):
        values = getattr(plan, name)
        if values is not None:
            _check_array(f"the plan's {name}", values, dtype, 1 + len(shape))
            if values.shape != (len(plan.order), *shape):
                raise InputError(f"the plan's {name} must be {[len(plan.order), *shape]}, not {list(values.shape)}")
    if plan.warps is not None:
        if (height + 1) * (width + 1) > _MOST_WARPED:
            raise InputError(f"images of {height}x{width} are too large to rotate or scale")
        places = np.abs(plan.warps[first:last].astype(np.int64)) @ (height, width, 1)
        if places.max() > _MOST_PLACE:
            raise InputError("the plan's warps reach too far outside of the images")
    if plan.colours is not None and (np.abs(plan.colours[first:last].astype(np.int64)) > _MOST_COLOUR).any():
        raise InputError(f"the plan's colours must lie between -{_MOST_COLOUR:,} and {_MOST_COLOUR:,}")
    if plan.boxes is not None:
        top, left, bottom, right = plan.boxes[first:last].T
        if top.min() < 0 or left.min() < 0 or bottom.max() > height or right.max() > width or (left > right).any():
            raise InputError(f"the plan's boxes must lie in the images of {height}x{width}")


def check_batch_norm(model: nn.Sequential, images: np.ndarray, plan: Plan, settings: Settings) -> None:
    """Raises ValueError, as PyTorch does, if a trained batch norm layer would see a single value per channel."""
    smallest = int((plan.steps[:, 1] - plan.steps[:, 0]).min())
    if smallest > 1:
        return
    if layer := needs_two_images(model, image_shape(images), settings.frozen):
        raise ValueError(
            f"Expected more than 1 value per channel when training, got a batch of 1 at {layer}: use drop_single, or "
            "another batch size"
        )
