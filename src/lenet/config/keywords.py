"""The options as keyword arguments in Python: their types for editors, and their meanings for help()."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Literal, TypedDict, TypeVar

from lenet.config.options import SHAPING
from lenet.config.values import options

# What a transfer takes from the run that it starts from.
FROM_START = ("model", "minutes", *SHAPING, "start", "start_sha256", "channels")

# A transfer's own defaults. A learning rate for training from scratch would overwrite what the network has learned.
TRANSFER_FREEZE = "all-but-last"
TRANSFER_LR = {"sgd": 0.01, "muon": 0.01, "adam": 0.001, "adamw": 0.001}
TRANSFER_DEFAULTS = {
    "size": "the network's",
    "fit": "the network's",
    "freeze": TRANSFER_FREEZE,
    "lr": "0.01 with sgd and muon, 0.001 with adam and adamw",
}

# What an audit does not take: it divides all images into folds itself, trains for a fixed number of epochs, of which it
# uses the last, and starts from nothing that was trained on the images.
AUDIT_LACKS = (
    *("data_sha256", "protocol", "val_fraction", "start", "start_sha256", "freeze", "unfreeze_after"),
    *("minutes", "ema", "select", "patience", "teacher", "teacher_sha256", "teacher_weight", "teacher_temperature"),
)
AUDIT_DEFAULTS = {
    "model": "a network of three convolutions, made for audits",
    "split_seed": "0",
    "epochs": "6, and up to 20 for fewer than 25,000 images",
    "seeds": "2 for each fold",
}
SEARCH_EPOCHS = 10  # the most that a trial trains, whatever a recipe says
SEARCH_DEFAULTS = {"epochs": f"{SEARCH_EPOCHS}, the most that a trial trains"}


class TransferOptions(TypedDict, total=False):
    """The options of `lenet.transfer`. Names and types only; a test compares them with `lenet.config.Config`."""

    data_sha256: str | None
    data_dir: str | Path | None
    labels: str | Path | None
    size: int | None
    fit: Literal["crop", "pad", "squash"]
    classes: str | None
    per_class: int | None
    protocol: Literal["official", "folds", "study"]
    val_fraction: float
    split_seed: int
    augment: str | Sequence[str]
    flips: Literal["random", "alternating"]
    max_shift: int
    max_rotation: float
    max_scale: float
    max_colour: float
    cutout_size: float
    freeze: str
    unfreeze_after: int
    epochs: int
    batch_size: int
    lr: float | None
    schedule: Literal["constant", "cosine", "one-cycle"]
    optimizer: Literal["sgd", "adam", "adamw", "muon"]
    momentum: float
    nesterov: bool
    weight_decay: float | None
    label_smoothing: float
    class_weights: str | Path | Mapping[str, float]
    ema: float
    select: Literal["accuracy", "balanced", "loss", "f1", "last"]
    patience: int
    teacher: str | Path | Sequence[str | Path] | None
    teacher_sha256: str | None
    teacher_weight: float
    teacher_temperature: float
    seed: int
    seeds: int
    engine: Literal["auto", "native", "torch"]
    device: str
    threads: int | None


class Options(TransferOptions, total=False):
    """The options of `lenet.train`, except those that are arguments of their own."""

    size: int | None
    channels: Literal[1, 3] | None
    minutes: float | None
    maps: tuple[int, ...] | None
    fc: tuple[int, ...] | None
    kernel: Literal[3, 5] | None
    padding: int | None
    dropout: float | None
    activation: Literal["relu", "tanh"] | None
    pool: Literal["max", "average", "max-average"] | None
    pool_sizes: tuple[int, int] | None
    batch_norm: Literal["none", "first-fc", "all"] | None
    norm: Literal["before-pool", "after-pool"] | None
    start: str | Path | None
    start_sha256: str | None


_Function = TypeVar("_Function", bound=Callable[..., object])


def with_options(
    leave_out: Sequence[str] = (), defaults: Mapping[str, str] | None = None
) -> Callable[[_Function], _Function]:
    """A decorator that lists the options in the docstring of a function of `**options`, and in its signature.

    leave_out: options that the function does not take; defaults: texts that replace an option's own default
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        *named, rest = signature.parameters.values()
        assert rest.kind is inspect.Parameter.VAR_KEYWORD
        listed = {name: one for name, one in options().items() if name not in (*leave_out, *signature.parameters)}
        # None is "not given": the default of an option depends on the recipe, if there is one.
        keywords = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in listed]
        function.__signature__ = signature.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
        lines = [inspect.cleandoc(function.__doc__ or ""), "", "Options:"]
        for name, one in listed.items():
            text = f"{name} ({one.values}): {one.described((defaults or {}).get(name))}"
            lines.append(fill(text, 100, initial_indent="    ", subsequent_indent="        "))
        function.__doc__ = "\n".join(lines)
        return function

    return decorate
