"""The native engine: the same training as the torch engine, many steps per C++ call (native/, docs/engine.md).

This module checks all arguments (native_checks.py), describes the layers by the layer table and passes the model's own
tensors to C++, which changes them in place.
"""

import os
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lenet.data.plan import Plan
from lenet.engine.base import ADAM_BETAS, ADAM_EPS, Metrics, OptimizerState, Settings
from lenet.engine.native_checks import check_batch_norm, check_class_weights, check_model, check_plan, check_tensor
from lenet.errors import InputError
from lenet.models import kind_of


def _load() -> Any:
    """The extension module. LENET_NATIVE_DIR names a folder with another build, for example with sanitizers."""
    folder = os.environ.get("LENET_NATIVE_DIR")
    if not folder:
        return import_module("lenet._native")
    path = next(Path(folder).glob("_native*.so"), None)
    spec = spec_from_file_location("lenet._native", path) if path else None
    if spec is None or spec.loader is None:
        raise ImportError(f"LENET_NATIVE_DIR: no _native*.so in {folder}")
    module = sys.modules["lenet._native"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_native: Any = None
_missing = ""
try:
    _native = _load()
except ImportError as error:
    _missing = str(error)

_LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
_STATE = {"sgd": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq")}

_engines: dict[str, Any] = {}  # by level, loaded once per process


def available() -> str | None:
    """Why the engine cannot be used on this machine, and what to do; None if it can."""
    if _native is None:
        return f"the native engine is not installed ({_missing}); install a C++17 compiler and run pip install again"
    if not _native.levels():
        return "the native engine needs a processor that supports x86-64-v2"
    return None


def level() -> str:
    """The instruction set level in use: LENET_ISA, or the highest that this processor supports. Raises InputError."""
    reason = available()
    if reason:
        raise InputError(reason)
    levels: list[str] = _native.levels()
    forced = os.environ.get("LENET_ISA")
    if not forced:
        return levels[0]
    if forced not in levels:
        if forced in _LEVELS:
            raise InputError(f"LENET_ISA={forced}: not supported by this processor; use {' or '.join(levels)}")
        raise InputError(f"LENET_ISA={forced}: no such level; use {' or '.join(_LEVELS)}")
    return forced


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
    classes = check_model(model, images, settings)
    check_plan(plan, images, targets, classes)
    check_class_weights(settings, classes)
    if len(plan.steps) == 0:
        return Metrics()
    check_batch_norm(model, images, plan, settings)
    for number, layer in enumerate(model):
        layer.train(number >= settings.frozen)

    state = _state_for(model, optimizer_state, settings)
    call = _call(model, images, state, settings, classes)
    soft = targets.ndim == 2
    (call.set_soft_targets if soft else call.set_labels)(targets)
    call.set_plan(
        order=plan.order,
        flips=plan.flips if plan.flips.any() else None,
        shifts=plan.shifts if plan.shifts.any() else None,
        **{name: value for name in ("warps", "colours", "boxes") if (value := getattr(plan, name)) is not None},
        steps=plan.steps,
        learning_rates=plan.learning_rates,
        dropout_key=plan.dropout_key,
    )
    if settings.class_weights is not None:
        call.set_class_weights(np.array(settings.class_weights, np.float64))
    training = settings.training
    call.set_optimizer(
        kind=getattr(_native.Optimizer, training.optimizer),
        momentum=training.momentum,
        nesterov=training.nesterov,
        beta1=ADAM_BETAS[0],
        beta2=ADAM_BETAS[1],
        eps=ADAM_EPS,
        weight_decay=training.decay,
        label_smoothing=training.label_smoothing,
    )
    count, loss_sum, correct, nonfinite = engine.train(call)
    if count:  # as in PyTorch, there is no optimizer state before the first update
        optimizer_state.update(state)
    return Metrics(count, loss_sum, correct, nonfinite if nonfinite >= 0 else None)


def logits(model: nn.Sequential, images: np.ndarray, settings: Settings) -> np.ndarray:
    """See lenet.engine.base.Engine.logits."""
    engine = _engine()
    classes = check_model(model, images, settings)
    model.eval()
    result = np.empty((len(images), classes), np.float32)
    if len(images):
        call = _call(model, images, {}, settings, classes)
        call.set_logits(result)
        engine.logits(call)
    return result


def _engine() -> Any:
    """The engine of the level in use. Raises InputError if it cannot be loaded."""
    name = level()
    if name not in _engines:
        path = Path(_native.__file__).with_name(f"native-{name}.so")
        try:
            _engines[name] = _native.Engine(str(path))
        except RuntimeError as error:
            raise InputError(f"the native engine cannot be loaded: {error}; run pip install again") from None
    return _engines[name]


def _state_for(model: nn.Sequential, optimizer_state: OptimizerState, settings: Settings) -> OptimizerState:
    """The optimizer state of all trained parameters; zeros where `optimizer_state` has none yet."""
    optimizer = settings.training.optimizer
    if optimizer not in _STATE:
        raise InputError(f"optimizer '{optimizer}' is not supported by the native engine; use {', '.join(_STATE)}")
    pieces = () if optimizer == "sgd" and settings.training.momentum == 0 else _STATE[optimizer]
    state: OptimizerState = {}
    for name, parameter in model.named_parameters():
        if int(name.split(".")[0]) < settings.frozen:
            continue
        for piece in pieces:
            key = f"{name}/{piece}"
            state[key] = optimizer_state[key] if key in optimizer_state else torch.zeros_like(parameter.data)
            check_tensor(f"optimizer state {key}", state[key], parameter.shape, parameter.dtype)
        if optimizer != "sgd":
            key = f"{name}/step"
            state[key] = optimizer_state[key] if key in optimizer_state else torch.zeros(())
            if state[key].dtype != torch.float32 or state[key].dim() or state[key].device.type != "cpu":
                raise InputError(f"optimizer state {key} must be a single float32 on the CPU")
    return state


def _call(model: nn.Sequential, images: np.ndarray, state: OptimizerState, settings: Settings, classes: int) -> Any:
    """The extension's description of the network and its images."""
    call = _native.Call()
    call.set_network(
        layers=[_described(number, layer, state) for number, layer in enumerate(model)],
        is_double=next(iter(model.parameters())).dtype == torch.float64,
        classes=classes,
        threads=settings.threads,
        frozen=settings.frozen,
    )
    (call.set_pixels if images.ndim == 4 else call.set_features)(images)
    return call


def _described(number: int, layer: Any, state: OptimizerState) -> Any:
    """The extension's description of a layer, by its entry in the layer table."""
    kind = kind_of(layer, number)
    parameters = {name: getattr(layer, name, None) for name in ("weight", "bias")}
    statistics = (getattr(layer, name).numpy() for name in kind.statistics)
    return _native.Layer(
        kind=getattr(_native.Kind, str(kind.native)),
        index=number,
        **{name: _parameter(f"{number}.{name}", value, state) for name, value in parameters.items()},
        **dict(zip(("mean", "variance", "batches_tracked"), statistics, strict=False)),
        **kind.fields(layer),
    )


def _parameter(name: str, parameter: torch.Tensor | None, state: OptimizerState) -> Any:
    """The extension's description of a parameter and its optimizer state."""
    if parameter is None:
        return _native.Parameter()

    def piece(*names: str) -> np.ndarray | None:
        return next((state[f"{name}/{each}"].numpy() for each in names if f"{name}/{each}" in state), None)

    return _native.Parameter(
        value=parameter.detach().numpy(),
        first=piece("momentum_buffer", "exp_avg"),
        second=piece("exp_avg_sq"),
        steps=piece("step"),
    )
