"""A search space in plain text: which options of a training are searched, and among which values.

    choice(4, 8, 16, 32)      one of these; in TOML also a plain list
    uniform(0.2, 0.5)         anywhere between, both ends included for whole numbers
    uniform(0.2, 0.5, 0.05)   the same in steps; quniform is another word for it
    loguniform(1e-4, 1e-2)    anywhere between, evenly in the logarithm

Any option of `lenet train` can be searched but those that change what is measured or which machine measures it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from lenet.config import Config, checked, options
from lenet.errors import InputError, did_you_mean
from lenet.files import read_toml

Kind = Literal["choice", "uniform", "loguniform"]

DEFAULT = {"batch_size": "choice(4, 8, 16, 32)", "lr": "loguniform(1e-4, 1e-2)", "dropout": "uniform(0.2, 0.5, 0.05)"}

# The images themselves: each of their values needs an array of its own in the object store.
IMAGE_OPTIONS = ("size", "channels", "fit")
_MOST_IMAGE_SETS = 16
_MOST_STEPS = 10_000
_FUNCTIONS: dict[str, Kind] = {
    "choice": "choice", "uniform": "uniform", "quniform": "uniform", "loguniform": "loguniform"
}  # fmt: skip
NOT_SEARCHED = {
    "data": "trials on other images do not compare",
    "data_sha256": "trials on other images do not compare",
    "data_dir": "trials on other images do not compare",
    "classes": "trials on other images do not compare",
    "per_class": "trials on other images do not compare",
    "protocol": "trials measured on other images do not compare",
    "start": "a search starts from fresh weights",
    "start_sha256": "a search starts from fresh weights",
    "val_fraction": "trials measured on other images do not compare",
    "split_seed": "trials measured on other images do not compare",
    "seed": "each trial's follows from --seed and its number",
    "seeds": "a trial is one network; --confirm trains the winner over several seeds",
    "epochs": "the scheduler decides how many of --epochs a trial gets",
    "engine": "it changes no figure",
    "device": "it changes no figure",
    "threads": "it changes no figure",
}


@dataclass(frozen=True)
class Axis:
    """One searched option. `values` are choice's; `low`, `high` and `step` (0: none) the others', both ends included.

    whole: whether the option takes whole numbers
    """

    name: str
    kind: Kind
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    step: float = 0
    whole: bool = False

    def __str__(self) -> str:
        if self.kind == "choice":
            inside = [json.dumps(value) if isinstance(value, str) else _plain(value) for value in self.values]
        else:
            inside = [f"{number:.12g}" for number in (self.low, self.high, self.step)[: 3 if self.step else 2]]
        return f"{self.kind}({', '.join(inside)})"

    def every(self) -> tuple[Any, ...] | None:
        """All values it can take, where they are finite in number."""
        if self.kind == "choice":
            return self.values
        step = self.step or (1 if self.whole else 0)
        if self.kind == "loguniform" or not step:
            return None
        count = int((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.number(self.low + i * step) for i in range(count))

    def number(self, value: float) -> float:
        """A searcher's number without its rounding error, whole where the option is."""
        return round(value) if self.whole else float(f"{value:.12g}") if self.step else float(value)

    def encoded(self, value: Any) -> Any:
        """A value as searchers know it: Optuna's categories are numbers, words and truths."""
        return json.dumps(value) if isinstance(value, tuple) else value

    def decoded(self, value: Any) -> Any:
        """The option's value for what a searcher gave."""
        if self.kind == "choice":
            return next(one for one in self.values if self.encoded(one) == value)
        return self.number(value)


@dataclass(frozen=True)
class Space:
    """The searched options by name."""

    axes: tuple[Axis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The searched options, in the order they were given."""
        return tuple(axis.name for axis in self.axes)

    def texts(self) -> dict[str, str]:
        """name -> plain text, that `parse` reads back."""
        return {axis.name: str(axis) for axis in self.axes}

    def values(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's options, out of what the searcher gave for it."""
        return {axis.name: axis.decoded(found[axis.name]) for axis in self.axes}

    def combinations(self) -> int | None:
        """How many there are; None where they are endless."""
        every = [axis.every() for axis in self.axes]
        return prod(len(values) for values in every if values is not None) if all(every) else None

    def image_options(self) -> list[dict[str, Any]]:
        """Every combination of searched options that change the images themselves; one empty one where none does."""
        axes = [axis for axis in self.axes if axis.name in IMAGE_OPTIONS]
        return [
            dict(zip((axis.name for axis in axes), values, strict=True))
            for values in product(*(axis.every() or () for axis in axes))
        ]


def parse_space(given: Mapping[str, Any] | Iterable[str]) -> Space:
    """The space of texts such as "lr=loguniform(1e-4, 1e-2)", of TOML files' paths, or of a mapping to such texts.

    Raises InputError where an option is unknown or cannot be searched, or where a value is outside its range.
    """
    found: dict[str, Axis] = {}
    for name, value in given.items() if isinstance(given, Mapping) else _pairs(given):
        axis = _axis(name, value)
        if axis.name in found:
            raise InputError(f"the space names {axis.name.replace('_', '-')} twice: keep one")
        found[axis.name] = axis
    if not found:
        raise InputError("the space is empty: name an option, like --space 'lr=loguniform(1e-4,1e-2)'")
    space = Space(tuple(found.values()))
    if any(axis.every() is None for axis in space.axes if axis.name in IMAGE_OPTIONS):
        raise InputError("size can only be searched among single values: size=choice(24, 32)")
    if len(space.image_options()) > _MOST_IMAGE_SETS:
        raise InputError(
            f"the space wants {len(space.image_options())} versions of all images in memory: at most {_MOST_IMAGE_SETS}"
        )
    return space


def check_effects(space: Space, config: Config) -> None:
    """Raises InputError where a searched option changes nothing, since all its trials would train the same."""
    every = {axis.name: axis.every() for axis in space.axes}

    def can_be(option: str, wanted: set[str]) -> bool:
        return bool(wanted & set(every.get(option) or (getattr(config, option),)))

    for name, other, wanted in (
        ("momentum", "optimizer", {"sgd"}),
        ("nesterov", "optimizer", {"sgd"}),
        ("max_shift", "augment", {"auto", "shift", "flip-shift"}),
    ):
        if name in space.names and not can_be(other, wanted):
            raise InputError(
                f"{name.replace('_', '-')} changes nothing with {other} {getattr(config, other)}: "
                f"leave it out of the space, or add --{other} {sorted(wanted)[-1]}"
            )


def shown(value: Any) -> str:
    """A value as the tables show it: four digits of a number."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return "-".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pairs(texts: Iterable[str]) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for text in texts:
        if text.endswith(".toml") and "=" not in text:
            pairs += _from_file(Path(text)).items()
            continue
        name, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"--space takes OPTION=VALUES or a .toml file, not '{text}'")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _from_file(path: Path) -> dict[str, Any]:
    """The space of a TOML file: its table [space], or all of it."""
    if not path.exists():
        raise InputError(f"no space file {path}")
    values = read_toml(path)
    return dict(values.get("space", values))


def _axis(name: str, value: Any) -> Axis:
    key = name.replace("-", "_")
    if key not in options():
        raise InputError(f"space: no option '{name}'{did_you_mean(key, sorted(set(options()) - set(NOT_SEARCHED)))}")
    if key in NOT_SEARCHED:
        raise InputError(f"space: {name} cannot be searched: {NOT_SEARCHED[key]}")
    kind, arguments = _parsed(name, value)
    if kind == "choice":
        values = tuple(checked({key: one}, "space: ")[key] for one in arguments)
        if not values or len(set(values)) < len(values):
            raise InputError(f"space: {name}=choice(...) needs values, each of them once")
        return Axis(key, kind, values)
    types = [one for one in options()[key].kinds if one is not NoneType]
    if types not in ([int], [float]):
        raise InputError(f"space: {name} is no number: give its values as choice(...)")
    if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in arguments):
        raise InputError(f"space: {name}={kind}(...) takes numbers, not {value!r}")
    if len(arguments) not in ((2, 3) if kind == "uniform" else (2,)):
        raise InputError(f"space: {name}={kind}(low, high{', step' if kind == 'uniform' else ''}), not {value!r}")
    checked({key: arguments[0]}, "space: ")
    checked({key: arguments[1]}, "space: ")
    low, high, step = (*map(float, arguments), 0.0)[:3]
    whole = types == [int]
    if not low < high or (kind == "loguniform" and low <= 0):
        raise InputError(
            f"space: {name}={kind}({low:g}, {high:g}) is empty: low must lie below high, above 0 for a log"
        )
    if step < 0 or step > high - low or (whole and step % 1) or (step and (high - low) / step > _MOST_STEPS):
        raise InputError(f"space: {name} cannot go from {low:g} to {high:g} in steps of {step:g}")
    return Axis(key, kind, low=low, high=high, step=step, whole=whole)


def _parsed(name: str, value: Any) -> tuple[Kind, list[Any]]:
    """The function's name and its arguments."""
    if isinstance(value, (list, tuple)):
        return "choice", list(value)
    if not isinstance(value, str):
        return "choice", [value]
    call = re.fullmatch(r"\s*([A-Za-z_]*)\s*([(\[])(.*)[)\]]\s*", value, re.DOTALL)
    if call is None:
        raise InputError(f"space: {name} takes choice(...), uniform(...) or loguniform(...), not '{value}'")
    word, bracket, inside = call.groups()
    if bracket == "[":
        word = word or "choice"
    if word not in _FUNCTIONS:
        raise InputError(f"space: {name} has no '{word}'{did_you_mean(word, _FUNCTIONS)}")
    arguments = [_argument(piece) for piece in _split(inside)]
    if word == "choice" and len(arguments) == 1 and isinstance(arguments[0], list) and inside.strip()[:1] == "[":
        first = arguments[0]
        # choice([4, 8]) is choice(4, 8); choice([6, 16]) is one pair where the option takes pairs.
        pairs = "tuple" in str(options()[name.replace("-", "_")].kind)
        arguments = arguments if pairs and not any(isinstance(one, list) for one in first) else first
    return _FUNCTIONS[word], arguments


def _split(inside: str) -> list[str]:
    """The pieces between commas that stand in no brackets of their own."""
    pieces, depth, piece = [], 0, ""
    for sign in inside:
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            pieces.append(piece)
            piece = ""
        else:
            piece += sign
    return [one.strip() for one in [*pieces, piece] if one.strip()]


def _argument(text: str) -> Any:
    """A number, a truth, a list of such, or a word, quoted or not."""
    if text.startswith(("[", "(")):
        return [_argument(piece) for piece in _split(text[1:-1])]
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text.strip("'\"")


def _plain(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)
