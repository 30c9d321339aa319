"""The torch engine: autograd on any nn.Sequential and device. Its results define what is correct."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import count
from math import prod

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from lenet.config import WITH_MOMENTUM, TrainingConfig
from lenet.data.augment import augmented
from lenet.data.plan import Plan, dropout_keep
from lenet.engine.base import ADAM_BETAS, ADAM_EPS, Maps, Metrics, OptimizerState, Settings
from lenet.errors import InputError
from lenet.layers.network import layer_costs
from lenet.models import Residual

# Images are gathered and augmented this many at a time: for a batch of 8, NumPy's overhead per call would dominate.
_CHUNK = 512
_EVAL_BATCH, _EVAL_VALUES = 256, 1 << 26  # images, and values that a layer returns for all of them (256 MiB)


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
    torch.set_num_threads(settings.threads)
    device = torch.device(settings.device)
    model.to(device)
    for number, layer in enumerate(model):
        layer.train(number >= settings.frozen)
    learning = {name: p for name, p in model.named_parameters() if int(name.split(".")[0]) >= settings.frozen}
    grouped = {f"{name}.weight" for name, layer in model.named_modules() if getattr(layer, "groups", 1) > 1}
    update = _updater(learning, grouped, optimizer_state, settings.training)
    weights = None
    if settings.class_weights is not None:
        weights = torch.tensor(settings.class_weights, dtype=next(model.parameters()).dtype, device=device)

    metrics = Metrics()
    for step, (begin, end, batch) in enumerate(_batches(images, plan)):
        y = _tensor(labels[plan.order[begin:end]]).to(device)
        target = y if soft_targets is None else _tensor(soft_targets[begin:end]).to(device)
        logits = _forward(model, batch.to(device), plan, begin, settings.frozen)
        loss = functional.cross_entropy(logits, target, weights, label_smoothing=settings.training.label_smoothing)
        if soft_targets is not None and weights is not None:  # PyTorch divides by the number of images then
            loss = loss * ((end - begin) / weights[y].sum())
        value = loss.item()
        if not np.isfinite(value):
            metrics.nonfinite_step = step
            break
        metrics.images += end - begin
        metrics.loss_sum += value * (end - begin)
        metrics.correct += int((logits.argmax(1) == y).sum())
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            update(float(plan.learning_rates[step]))
        for p in learning.values():
            p.grad = None
    return metrics


def logits(model: nn.Sequential, images: np.ndarray, settings: Settings) -> np.ndarray:
    """See lenet.engine.base.Engine.logits."""
    torch.set_num_threads(settings.threads)
    device = torch.device(settings.device)
    model.to(device).eval()
    batch = _eval_batch(model, images)
    with torch.inference_mode():
        parts = [model(_tensor(images[i : i + batch]).to(device)) for i in range(0, len(images), batch)]
        return torch.cat(parts).float().cpu().numpy()


def _eval_batch(model: nn.Sequential, images: np.ndarray) -> int:
    """The number of images that are computed at once."""
    if images.ndim != 4:
        return _EVAL_BATCH
    try:
        largest = max(prod(row.output) for row in layer_costs(model, images.shape[1:]))
    except InputError:  # the caller of `lenet.predict` has put in a layer that the table of layers lacks
        return _EVAL_BATCH
    return min(_EVAL_BATCH, max(1, _EVAL_VALUES // largest))


def maps(model: nn.Sequential, shape: tuple[int, int, int]) -> Maps:
    """See lenet.engine.base.Engine.maps."""

    def computed(images: np.ndarray, numbers: Sequence[int]) -> list[np.ndarray]:
        torch.set_num_threads(1)
        model.cpu().eval()
        found, x = [], _tensor(images)
        with torch.inference_mode():
            for number, layer in enumerate(list(model)[: numbers[-1] + 1]):
                x = layer(x)
                if number in numbers:
                    found.append(x.float().flatten(2).transpose(1, 2).numpy())
        return found

    return computed


def _forward(model: nn.Sequential, x: torch.Tensor, plan: Plan, begin: int, frozen: int) -> torch.Tensor:
    """The logits of the batch at position `begin` of the plan; dropout masks come from the plan. Layers before `frozen`
    compute no gradient.
    """
    numbers = count()  # of layers, in the order of `every_layer`: those in branches count too
    positions = np.arange(begin, begin + len(x))

    def through(layers: Iterable[nn.Module], x: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            if isinstance(layer, Residual):
                x = through(layer.body, x) + through(layer.shortcut, x)
            number = next(numbers)
            if isinstance(layer, nn.Dropout) and layer.training:
                keep = dropout_keep(plan.dropout_key, number, positions, x[0].numel(), layer.p)
                x = x * torch.from_numpy(keep).to(x.device).view(x.shape) / (1 - layer.p)
            elif not isinstance(layer, Residual):
                x = layer(x)
        return x

    layers = list(model)
    with torch.no_grad():
        x = through(layers[:frozen], x)
    return through(layers[frozen:], x)


def _batches(images: np.ndarray, plan: Plan) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Yields (begin, end, images) for each step. Images are gathered and augmented in chunks of several batches."""
    first = last = 0
    chunk = images[:0]
    final = plan.steps[-1, 1] if len(plan.steps) else 0
    for begin, end in plan.steps.tolist():
        if end > last:
            first, last = begin, max(end, min(begin + _CHUNK, final))
            chunk = augmented(images, plan, slice(first, last)) if images.ndim == 4 else images[plan.order[first:last]]
        yield begin, end, torch.from_numpy(chunk[begin - first : end - first])


def _tensor(array: np.ndarray) -> torch.Tensor:
    # Copied because PyTorch warns about tensors that share read-only memory, such as a memory-mapped array.
    return torch.from_numpy(np.array(array))


def _updater(
    learning: dict[str, nn.Parameter], grouped: Collection[str], state: OptimizerState, training: TrainingConfig
) -> Callable[[float], None]:
    """A function that updates the parameters by their gradients with a given learning rate.

    grouped: names of the weights of convolutions with groups

    It uses torch.optim's functions, since its classes import a compiler, which takes longer than an epoch of digits.
    """

    def pieces(name: str, like: Callable[[nn.Parameter], torch.Tensor] = torch.zeros_like) -> list[torch.Tensor]:
        for key, p in learning.items():
            full = f"{key}/{name}"
            state[full] = state[full].to(p.device) if full in state else like(p).detach()
        return [state[f"{key}/{name}"] for key in learning]

    parameters = [p.data for p in learning.values()]

    def gradients() -> list[torch.Tensor]:
        return [p.grad for p in learning.values() if p.grad is not None]

    if training.optimizer in WITH_MOMENTUM:
        buffers: list[torch.Tensor | None] = [None] * len(parameters)
        if training.momentum:
            buffers = list(pieces("momentum_buffer"))
        # Muon leaves all but matrices, and the last layer, to SGD. With groups, a weight is a matrix for each of them.
        matrices = [number for number, p in enumerate(parameters) if p.ndim > 1] if training.optimizer == "muon" else []
        whole = [number in matrices[:-1] and name not in grouped for number, name in enumerate(learning)]

        def sgd_update(rate: float) -> None:
            of_each = list(zip(parameters, gradients(), buffers, whole, strict=True))
            for p, gradient, buffer, is_whole in of_each:
                if is_whole:
                    p.add_(_direction(p, gradient, buffer, training), alpha=-rate)
            rest = [(p, gradient, buffer) for p, gradient, buffer, is_whole in of_each if not is_whole]
            # Momentum starts at zero; without dampening this equals PyTorch's first step.
            sgd([p for p, _, _ in rest], [gradient for _, gradient, _ in rest], [buffer for _, _, buffer in rest],
                weight_decay=training.decay, momentum=training.momentum, lr=rate, dampening=0.0,
                nesterov=training.nesterov, maximize=False, fused=True)  # fmt: skip

        return sgd_update

    update = adam if training.optimizer == "adam" else adamw
    averages, squares = pieces("exp_avg"), pieces("exp_avg_sq")
    steps = pieces("step", lambda p: torch.zeros((), device=p.device))
    beta1, beta2 = ADAM_BETAS

    def adam_update(rate: float) -> None:
        update(parameters, gradients(), averages, squares, [], steps, amsgrad=False, beta1=beta1, beta2=beta2, lr=rate,
               weight_decay=training.decay, eps=ADAM_EPS, maximize=False, fused=True)  # fmt: skip

    return adam_update


def _direction(
    weight: torch.Tensor, gradient: torch.Tensor, buffer: torch.Tensor | None, training: TrainingConfig
) -> torch.Tensor:
    """Muon's direction for the weight of a convolution or linear layer, [outputs, ...]; updates its momentum.

    SGD's direction as a matrix with one row per output, whose singular values a Newton-Schulz iteration makes nearly
    equal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).
    """
    gradient = gradient + training.decay * weight
    if buffer is not None:
        buffer.mul_(training.momentum).add_(gradient)
        gradient = gradient + training.momentum * buffer if training.nesterov else buffer
    x = gradient.flatten(1)
    rows, columns = x.shape
    x = x / (x.norm() + 1e-7)
    x = x if rows <= columns else x.T  # the same direction, and smaller products
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    x = x if rows <= columns else x.T
    direction: torch.Tensor = max(1, rows / columns) ** 0.5 * x
    return direction.reshape(weight.shape)
