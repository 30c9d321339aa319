"""The native engine: the same training as the torch engine's, in one C++ call for many steps (native/, docs/engine.md).

This side reads the layers of the nn.Sequential, checks everything that could go wrong, and hands over addresses of the
model's own memory. What the C++ does cannot be undone by an exception, so whatever is wrong is refused here, before.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lenet.data.plan import Plan
from lenet.engine.base import Metrics, OptimizerState, Settings
from lenet.errors import InputError
from lenet.models import Normalize

_native: Any = None
_missing = ""
try:
    _native = import_module("lenet._native")
except ImportError as error:
    _missing = str(error)

_LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
_DTYPES = (torch.float32, torch.float64)
_STATE = {"sgd": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq")}

_engines: dict[str, Any] = {}  # by level, loaded once for the process


def available() -> str | None:
    """Why the engine cannot be used at all here, with the mend; None where it can."""
    if _native is None:
        return f"the native engine was not built ({_missing}); install a C++17 compiler and run pip install again"
    if not _native.levels():
        return "the native engine needs a processor of level x86-64-v2 or above"
    return None


def level() -> str:
    """The instruction set level in use: the best this processor has, or what LENET_ISA names. Raises InputError."""
    reason = available()
    if reason:
        raise InputError(reason)
    levels: list[str] = _native.levels()
    forced = os.environ.get("LENET_ISA")
    if not forced:
        return levels[0]
    if forced not in levels:
        if forced in _LEVELS:
            raise InputError(f"LENET_ISA={forced}: this processor has no such level, only {', '.join(levels)}")
        raise InputError(f"LENET_ISA={forced}: unknown; known: {', '.join(_LEVELS)}")
    return forced


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


def train(
    model: nn.Sequential,
    optimizer_state: OptimizerState,
    images: np.ndarray,
    targets: np.ndarray,
    plan: Plan,
    settings: Settings,
) -> Metrics:
    """See lenet.engine.base.Engine.train."""
    engine = _engine()
    classes = _check_model(model, images, settings)
    _check_plan(plan, images, targets, classes)
    if len(plan.steps) == 0:
        return Metrics()
    _check_batch_norm(model, images, plan, settings)
    for number, layer in enumerate(model):
        layer.train(number >= settings.frozen)

    state = _state_for(model, optimizer_state, settings)
    call = _call(model, images, state, settings, classes)
    soft = targets.ndim == 2
    call.set_targets(**{"soft" if soft else "labels": targets.ctypes.data})
    call.set_plan(
        order=plan.order.ctypes.data,
        flips=plan.flips.ctypes.data if plan.flips.any() else 0,
        shifts=plan.shifts.ctypes.data if plan.shifts.any() else 0,
        steps=plan.steps.ctypes.data,
        learning_rates=plan.learning_rates.ctypes.data,
        step_count=len(plan.steps),
        dropout_key=plan.dropout_key,
    )
    call.set_optimizer(
        kind=getattr(_native.Optimizer, settings.optimizer),
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        beta1=settings.betas[0],
        beta2=settings.betas[1],
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        label_smoothing=settings.label_smoothing,
    )
    count, loss_sum, correct, nonfinite = engine.train(call)
    if count:  # before the first step there is no state
        optimizer_state.update(state)
    return Metrics(count, loss_sum, correct, nonfinite if nonfinite >= 0 else None)


def logits(model: nn.Sequential, images: np.ndarray, settings: Settings) -> np.ndarray:
    """See lenet.engine.base.Engine.logits."""
    engine = _engine()
    classes = _check_model(model, images, settings)
    model.eval()
    result = np.empty((len(images), classes), np.float32)
    if len(images):
        call = _call(model, images, {}, settings, classes)
        call.set_logits(result.ctypes.data)
        engine.logits(call)
    return result


def _engine() -> Any:
    name = level()
    if name not in _engines:
        path = Path(_native.__file__).with_name(f"native-{name}.so")
        try:
            _engines[name] = _native.Engine(str(path))
        except RuntimeError as error:
            raise InputError(f"the native engine cannot be loaded: {error}; run pip install again") from None
    return _engines[name]


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


def _check_model(model: nn.Sequential, images: np.ndarray, settings: Settings) -> int:
    """Refuses what native code could not survive; gives the number of classes."""
    reason = covers(model, settings)
    if reason:
        raise InputError(f"the native engine does not fit: {reason}")
    if not 1 <= settings.threads <= 1024:
        raise InputError(f"threads must be between 1 and 1024, not {settings.threads}")
    tensors = [(name, t) for name, t in model.state_dict(keep_vars=True).items() if t.is_floating_point()]
    dtype = tensors[-1][1].dtype
    for name, tensor in tensors:
        _check_tensor(name, tensor, tensor.shape, dtype)
    return _check_shapes(model, images)


def _check_shapes(model: nn.Sequential, images: np.ndarray) -> int:
    """Follows one image's shape through the layers, since their sizes are what the engine addresses memory by."""
    pixels = isinstance(model[0], Normalize)
    _check_array("images", images, np.uint8 if pixels else np.float32, 4 if pixels else 2)
    shape = (images.shape[3], images.shape[1], images.shape[2]) if pixels else images.shape[1:]
    for number, layer in enumerate(model):
        name = f"layer {number} ({type(layer).__name__})"
        if isinstance(layer, nn.Conv2d):
            (pad_y, pad_x), kernel = _padding(layer), layer.kernel_size[0]
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


def _check_tensor(name: str, tensor: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
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


def _check_plan(plan: Plan, images: np.ndarray, targets: np.ndarray, classes: int) -> None:
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


def _check_batch_norm(model: nn.Sequential, images: np.ndarray, plan: Plan, settings: Settings) -> None:
    """As PyTorch: batch norm cannot learn from a single value a channel."""
    smallest = int((plan.steps[:, 1] - plan.steps[:, 0]).min())
    if smallest > 1:
        return
    positions = images.shape[1] * images.shape[2] if images.ndim == 4 else 1
    height, width = images.shape[1:3] if images.ndim == 4 else (1, 1)
    for number, layer in enumerate(model):
        if isinstance(layer, nn.Conv2d):
            (pad_y, pad_x), kernel = _padding(layer), layer.kernel_size[0]
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


def _state_for(model: nn.Sequential, optimizer_state: OptimizerState, settings: Settings) -> OptimizerState:
    """The optimizer state of everything that learns, zeros where there is none yet."""
    if settings.optimizer not in _STATE:
        raise InputError(f"the native engine knows no optimizer '{settings.optimizer}'")
    pieces = () if settings.optimizer == "sgd" and settings.momentum == 0 else _STATE[settings.optimizer]
    state: OptimizerState = {}
    for name, parameter in model.named_parameters():
        if int(name.split(".")[0]) < settings.frozen:
            continue
        for piece in pieces:
            key = f"{name}/{piece}"
            state[key] = optimizer_state[key] if key in optimizer_state else torch.zeros_like(parameter.data)
            _check_tensor(f"optimizer state {key}", state[key], parameter.shape, parameter.dtype)
        if settings.optimizer != "sgd":
            key = f"{name}/step"
            state[key] = optimizer_state[key] if key in optimizer_state else torch.zeros(())
            if state[key].dtype != torch.float32 or state[key].dim() or state[key].device.type != "cpu":
                raise InputError(f"optimizer state {key} must be a single float32 on the CPU")
    return state


def _call(model: nn.Sequential, images: np.ndarray, state: OptimizerState, settings: Settings, classes: int) -> Any:
    """The network and its images, as the extension takes them."""
    call = _native.Call()
    call.set_network(
        layers=[_described(number, layer, state) for number, layer in enumerate(model)],
        is_double=next(iter(model.parameters())).dtype == torch.float64,
        classes=classes,
        threads=settings.threads,
        frozen=settings.frozen,
    )
    if images.ndim == 4:
        count, height, width, channels = images.shape
        call.set_images(pixels=images.ctypes.data, count=count, height=height, width=width, channels=channels)
    else:
        call.set_images(features=images.ctypes.data, count=len(images), channels=images.shape[1])
    return call


def _described(number: int, layer: Any, state: OptimizerState) -> Any:
    kinds, kind = _native.Kind, type(layer)
    if kind is nn.Conv2d:
        pad_y, pad_x = _padding(layer)
        return _native.Layer(
            kind=kinds.conv,
            index=number,
            inputs=layer.in_channels,
            outputs=layer.out_channels,
            kernel=layer.kernel_size[0],
            pad_y=pad_y,
            pad_x=pad_x,
            weight=_parameter(f"{number}.weight", layer.weight, state),
            bias=_parameter(f"{number}.bias", layer.bias, state),
        )
    if kind is nn.Linear:
        return _native.Layer(
            kind=kinds.linear,
            index=number,
            inputs=layer.in_features,
            outputs=layer.out_features,
            weight=_parameter(f"{number}.weight", layer.weight, state),
            bias=_parameter(f"{number}.bias", layer.bias, state),
        )
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        return _native.Layer(
            kind=kinds.batch_norm,
            index=number,
            inputs=layer.num_features,
            outputs=layer.num_features,
            eps=layer.eps,
            momentum=layer.momentum,
            weight=_parameter(f"{number}.weight", layer.weight, state),
            bias=_parameter(f"{number}.bias", layer.bias, state),
            mean=layer.running_mean.data_ptr(),
            variance=layer.running_var.data_ptr(),
            batches_tracked=layer.num_batches_tracked.data_ptr(),
        )
    if kind is Normalize:
        return _native.Layer(
            kind=kinds.normalize, index=number, mean=layer.mean.data_ptr(), variance=layer.std.data_ptr()
        )
    if kind is nn.Dropout:
        return _native.Layer(kind=kinds.dropout, index=number, p=layer.p)
    plain = {
        nn.ReLU: kinds.relu,
        nn.Tanh: kinds.tanh,
        nn.MaxPool2d: kinds.max_pool,
        nn.AvgPool2d: kinds.average_pool,
        nn.Flatten: kinds.flatten,
    }
    return _native.Layer(kind=plain[kind], index=number)


def _parameter(name: str, parameter: torch.Tensor | None, state: OptimizerState) -> Any:
    if parameter is None:
        return _native.Parameter()

    def address(*pieces: str) -> int:
        return next((state[f"{name}/{piece}"].data_ptr() for piece in pieces if f"{name}/{piece}" in state), 0)

    return _native.Parameter(
        value=parameter.data_ptr(),
        first=address("momentum_buffer", "exp_avg"),
        second=address("exp_avg_sq"),
        steps=address("step"),
    )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":
        return layer.kernel_size[0] // 2, layer.kernel_size[1] // 2
    assert not isinstance(layer.padding, str)
    return layer.padding[0], layer.padding[1]
