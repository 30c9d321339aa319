"""The native engine: the same training as the torch engine, many steps per C++ call (native/, docs/engine.md).

This module checks all arguments (native_checks.py), describes the layers by the layer table (native_network.py) and
passes the model's own tensors to C++, which changes them in place.
"""

import numpy as np
import torch
from torch import nn

from lenet import extension
from lenet.data.plan import Plan
from lenet.engine.base import ADAM_BETAS, ADAM_EPS, Maps, Metrics, OptimizerState, Settings
from lenet.engine.native_checks import check_batch_norm, check_class_weights, check_model, check_plan, check_tensor
from lenet.engine.native_network import Inference, call_of
from lenet.errors import InputError
from lenet.extension import available as available
from lenet.extension import level as level
from lenet.models import plain

_STATE = {
    "sgd": ("momentum_buffer",), "muon": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq"),
}  # fmt: skip


def train(
    model: nn.Sequential,
    optimizer_state: OptimizerState,
    images: np.ndarray,
    labels: np.ndarray,
    plan: Plan,
    settings: Settings,
    soft_targets: np.ndarray | None = None,
) -> Metrics:
    """See lenet.engine.base.Engine.train."""
    engine = extension.engine()
    classes = check_model(model, images, settings)
    check_plan(plan, images, labels, soft_targets, classes)
    check_class_weights(settings, classes)
    if len(plan.steps) == 0:
        return Metrics()
    check_batch_norm(model, images, plan, settings)
    for number, layer in enumerate(model):
        layer.train(number >= settings.frozen)

    state = _state_for(model, optimizer_state, settings)
    pieces = {name: tensor.numpy() for name, tensor in state.items()}
    call = call_of(plain(model), images, classes, threads=settings.threads, frozen=settings.frozen, state=pieces)
    call.set_labels(labels)
    if soft_targets is not None:
        call.set_soft_targets(soft_targets)
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
    check_model(model, images, settings)
    model.eval()
    return Inference(plain(model), images.shape[1:], settings.threads).logits(images)


def maps(model: nn.Sequential, shape: tuple[int, int, int]) -> Maps:
    """See lenet.engine.base.Engine.maps."""
    return Inference(plain(model), shape).maps


def _state_for(model: nn.Sequential, optimizer_state: OptimizerState, settings: Settings) -> OptimizerState:
    """The optimizer state of all trained parameters; zeros where `optimizer_state` has none yet."""
    optimizer = settings.training.optimizer
    adaptive = "exp_avg" in _STATE[optimizer]
    pieces = () if not adaptive and settings.training.momentum == 0 else _STATE[optimizer]
    state: OptimizerState = {}
    for name, parameter in model.named_parameters():
        if int(name.split(".")[0]) < settings.frozen:
            continue
        for piece in pieces:
            key = f"{name}/{piece}"
            state[key] = optimizer_state[key] if key in optimizer_state else torch.zeros_like(parameter.data)
            check_tensor(f"optimizer state {key}", state[key], parameter.shape, parameter.dtype)
        if adaptive:
            key = f"{name}/step"
            state[key] = optimizer_state[key] if key in optimizer_state else torch.zeros(())
            if state[key].dtype != torch.float32 or state[key].dim() or state[key].device.type != "cpu":
                raise InputError(f"optimizer state {key} must be a single float32 on the CPU")
    return state
