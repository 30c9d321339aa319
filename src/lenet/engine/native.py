"""The native engine: the same training as the torch engine, many steps per C++ call (native/, docs/engine.md).

This module checks all arguments (native_checks.py), describes the layers by the layer table and passes the model's own
tensors to C++, which changes them in place.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from lenet import extension
from lenet.data.plan import Plan
from lenet.engine.base import ADAM_BETAS, ADAM_EPS, Metrics, OptimizerState, Settings
from lenet.engine.native_checks import check_batch_norm, check_class_weights, check_model, check_plan, check_tensor
from lenet.errors import InputError
from lenet.extension import available as available
from lenet.extension import level as level
from lenet.models import kind_of

_STATE = {"sgd": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq")}


def train(
    model: nn.Sequential,
    optimizer_state: OptimizerState,
    images: np.ndarray,
    targets: np.ndarray,
    plan: Plan,
    settings: Settings,
) -> Metrics:
    """See lenet.engine.base.Engine.train."""
    engine = extension.engine()
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
        kind=getattr(extension.module.Optimizer, training.optimizer),
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
    engine = extension.engine()
    classes = check_model(model, images, settings)
    model.eval()
    result = np.empty((len(images), classes), np.float32)
    if len(images):
        call = _call(model, images, {}, settings, classes)
        call.set_logits(result)
        engine.logits(call)
    return result


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
    call = extension.module.Call()
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
    return extension.module.Layer(
        kind=getattr(extension.module.Kind, str(kind.native)),
        index=number,
        **{name: _parameter(f"{number}.{name}", value, state) for name, value in parameters.items()},
        **dict(zip(("mean", "variance", "batches_tracked"), statistics, strict=False)),
        **kind.fields(layer),
    )


def _parameter(name: str, parameter: torch.Tensor | None, state: OptimizerState) -> Any:
    """The extension's description of a parameter and its optimizer state."""
    if parameter is None:
        return extension.module.Parameter()

    def piece(*names: str) -> np.ndarray | None:
        return next((state[f"{name}/{each}"].numpy() for each in names if f"{name}/{each}" in state), None)

    return extension.module.Parameter(
        value=parameter.detach().numpy(),
        first=piece("momentum_buffer", "exp_avg"),
        second=piece("exp_avg_sq"),
        steps=piece("step"),
    )
