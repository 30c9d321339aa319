"""What the native engine covers, and the refusal of whatever its C++ could not survive.

What native code does cannot be undone by an exception, so all that could be wrong is found here, before any of it runs.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from lenet.data.plan import Plan
from lenet.engine.base import Settings
from lenet.errors import InputError
from lenet.models import Normalize

_DTYPES = (torch.float32, torch.float64)


def covers(model: nn.Sequential, settings: Settings | None = None) -> str | None:
    """Why this engine cannot train the model with these settings, naming the layer; None where it can."""
    if settings is not None and settings.device != "cpu":
        return f"it computes on the CPU, not on {settings.device}"
    if len(model) == 0:
        return "the model has no layers"
    if not any(isinstance(layer, nn.Linear) for layer in model):
        return "the model has no linear layer"
    flat = not isinstance(model[0], Normalize)
    for number, layer in enumerate(model):
        reason = _uncovered(layer, number, flat)
        if reason:
            return f"layer {number} ({type(layer).__name__}) {reason}"
        flat = flat or isinstance(layer, nn.Flatten)
    return None


def _uncovered(layer: Any, number: int, flat: bool) -> str | None:
    """What this engine cannot do about one layer. flat: its input is [B, features], not maps."""
    kind = type(layer)
    if kind is Normalize:
        return None if number == 0 else "is not the first"
    if kind is nn.Conv2d:
        if layer.kernel_size not in ((3, 3), (5, 5)):
            return f"has a kernel of {layer.kernel_size}; this engine knows 3x3 and 5x5"
        if layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.groups != 1:
            return "has a stride, dilation or groups other than 1"
        if layer.padding_mode != "zeros":
            return f"pads by '{layer.padding_mode}'; this engine pads with zeros"
        return "comes after flattening" if flat else None
    if kind in (nn.MaxPool2d, nn.AvgPool2d):
        sizes = {_pair(layer.kernel_size), _pair(layer.stride)}
        if sizes != {(2, 2)} or _pair(layer.padding) != (0, 0) or layer.ceil_mode:
            return "is not plain 2x2 pooling"
        if kind is nn.MaxPool2d and (_pair(layer.dilation) != (1, 1) or layer.return_indices):
            return "is not plain 2x2 pooling"
        if kind is nn.AvgPool2d and layer.divisor_override is not None:
            return "has its own divisor"
        return "comes after flattening" if flat else None
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        if not layer.affine or not layer.track_running_stats or layer.momentum is None:
            return "is not affine, or does not track its statistics with a momentum"
        if flat != (kind is nn.BatchNorm1d):
            return f"does not fit its input, which is {'flat' if flat else 'maps'}"
        return None
    if kind is nn.Linear:
        return None if flat else "needs a Flatten before it"
    if kind is nn.Dropout:
        return None if layer.p < 1 else "drops everything"
    if kind is nn.Flatten:
        return None if (layer.start_dim, layer.end_dim) == (1, -1) else "does not flatten from 1 to -1"
    return None if kind in (nn.ReLU, nn.Tanh) else "is of a kind it does not know"


def check_model(model: nn.Sequential, images: np.ndarray, settings: Settings) -> int:
    """Refuses what native code could not survive; gives the number of classes."""
    reason = covers(model, settings)
    if reason:
        raise InputError(f"the native engine does not fit: {reason}")
    if not 1 <= settings.threads <= 1024:
        raise InputError(f"threads must be between 1 and 1024, not {settings.threads}")
    tensors = [(name, t) for name, t in model.state_dict(keep_vars=True).items() if t.is_floating_point()]
    dtype = tensors[-1][1].dtype
    for name, tensor in tensors:
        check_tensor(name, tensor, tensor.shape, dtype)
    return _check_shapes(model, images)


def _check_shapes(model: nn.Sequential, images: np.ndarray) -> int:
    """Follows one image's shape through the layers, since their sizes are what the engine addresses memory by."""
    pixels = isinstance(model[0], Normalize)
    _check_array("images", images, np.uint8 if pixels else np.float32, 4 if pixels else 2)
    shape = (images.shape[3], images.shape[1], images.shape[2]) if pixels else images.shape[1:]
    for number, layer in enumerate(model):
        name = f"layer {number} ({type(layer).__name__})"
        if isinstance(layer, nn.Conv2d):
            (pad_y, pad_x), kernel = padding(layer), layer.kernel_size[0]
            _check_size(name, "input channels", layer.in_channels, shape[0])
            _check_weights(name, layer, (layer.out_channels, layer.in_channels, kernel, kernel))
            shape = (layer.out_channels, shape[1] + 2 * pad_y - kernel + 1, shape[2] + 2 * pad_x - kernel + 1)
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            shape = (shape[0], shape[1] // 2, shape[2] // 2)
        elif isinstance(layer, nn.Flatten):
            shape = (int(np.prod(shape)),)
        elif isinstance(layer, nn.Linear):
            _check_size(name, "input features", layer.in_features, shape[0])
            _check_weights(name, layer, (layer.out_features, layer.in_features))
            shape = (layer.out_features,)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            _check_size(name, "channels", layer.num_features, shape[0])
            _check_weights(name, layer, (layer.num_features,))
            for statistic in (layer.running_mean, layer.running_var):
                if statistic is None or statistic.shape != (layer.num_features,):
                    raise InputError(f"{name} has running statistics of another shape than [{layer.num_features}]")
            tracked = layer.num_batches_tracked
            if tracked is None or tracked.dtype != torch.int64 or tracked.device.type != "cpu":
                raise InputError(f"{name} has no int64 num_batches_tracked on the CPU")
        elif isinstance(layer, Normalize):
            for name_of, statistic in (("mean", layer.mean), ("std", layer.std)):
                _check_size(name, f"channels of {name_of}", statistic.numel(), shape[0])
        if min(shape) < 1:
            raise InputError(f"{name} leaves nothing of images of {images.shape[1:]}: use larger images")
    if len(shape) != 1:
        raise InputError(f"the model gives maps of {shape}, not logits: end it with Flatten and Linear")
    return int(shape[0])


def _check_size(name: str, what: str, expected: int, found: int) -> None:
    if expected != found:
        raise InputError(f"{name} takes {expected} {what}, but gets {found}")


def _check_weights(name: str, layer: Any, shape: tuple[int, ...]) -> None:
    for tensor, expected in ((layer.weight, shape), (layer.bias, shape[:1])):
        if tensor is not None and tensor.shape != expected:
            raise InputError(f"{name} has a parameter of shape {list(tensor.shape)}, not {list(expected)}")


def check_tensor(name: str, tensor: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tensor.device.type != "cpu":
        raise InputError(f"{name} is on {tensor.device}; the native engine needs it on the CPU")
    if tensor.dtype not in _DTYPES or tensor.dtype != dtype:
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
    positions = images.shape[1] * images.shape[2] if images.ndim == 4 else 1
    height, width = images.shape[1:3] if images.ndim == 4 else (1, 1)
    for number, layer in enumerate(model):
        if isinstance(layer, nn.Conv2d):
            (pad_y, pad_x), kernel = padding(layer), layer.kernel_size[0]
            height, width = height + 2 * pad_y - kernel + 1, width + 2 * pad_x - kernel + 1
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            height, width = height // 2, width // 2
        elif isinstance(layer, nn.Flatten):
            height = width = 1
        positions = height * width
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and number >= settings.frozen and positions == 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got a batch of 1 at layer {number} "
                f"({type(layer).__name__}): use drop_single, or another batch size"
            )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def padding(layer: nn.Conv2d) -> tuple[int, int]:
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":
        return layer.kernel_size[0] // 2, layer.kernel_size[1] // 2
    assert not isinstance(layer.padding, str)
    return layer.padding[0], layer.padding[1]
