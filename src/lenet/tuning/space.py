"""The search space in plain text: which options of a training are searched, and over which values.

    choice(4, 8, 16, 32)      one of these; in TOML also a plain list
    uniform(0.2, 0.5)         any value in the range, both ends included for whole numbers
    uniform(0.2, 0.5, 0.05)   the same in steps; quniform is another word for it
    loguniform(1e-4, 1e-2)    any value in the range, uniform in the logarithm

Every option of `lenet train` can be searched, except those that change what is measured or where it is computed.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from os import PathLike, fspath
from types import NoneType
from typing import Any, Literal

from lenet.config import SHAPING, WITH_MOMENTUM, Config, checked, options
from lenet.config.augmentation import AUGMENTATION_OPTIONS, AUTO_AUGMENTATIONS, augmentations
from lenet.errors import InputError, did_you_mean
from lenet.files import expanded, read_toml
from lenet.layers.network import has_dropout, parsed

Kind = Literal["choice", "uniform", "loguniform"]

DEFAULT = {"batch_size": "choice(4, 8, 16, 32)", "lr": "loguniform(1e-4, 1e-2)", "dropout": "uniform(0.2, 0.5, 0.05)"}

# Options that change the images: each of their values needs an array of its own in the object store.
IMAGE_OPTIONS = ("size", "channels", "fit")
_MOST_IMAGE_SETS = 16
_MOST_STEPS = 10_000
_FUNCTIONS: dict[str, Kind] = {
    "choice": "choice", "uniform": "uniform", "quniform": "uniform", "loguniform": "loguniform"
}  # fmt: skip
_TAKES = "takes a dict from option to values, or texts OPTION=VALUES and paths of .toml files"
_OTHER_IMAGES = "trials on other images cannot be compared"
NOT_SEARCHED = dict.fromkeys(
    ("data", "data_sha256", "data_dir", "labels", "classes", "per_class", "protocol", "val_fraction", "split_seed"),
    _OTHER_IMAGES,
) | {
    "minutes": "only lenet train chooses a network by time",
    "start": "a search starts from fresh weights",
    "start_sha256": "a search starts from fresh weights",
    "teacher": "all trials have the same teachers",
    "teacher_sha256": "all trials have the same teachers",
    "seed": "each trial's seed follows from --seed and its number",
    "seeds": "a trial is one network; --confirm trains the best trial's values over several seeds",
    "epochs": "the scheduler decides how many of --epochs a trial trains",
    "select": "trials that are chosen by different scores cannot be compared",
    "engine": "it does not change what is trained",
    "device": "it does not change what is trained",
    "threads": "it does not change what is trained",
}


@dataclass(frozen=True)
class Axis:
    """One searched option. `values` for a choice; otherwise `low`, `high` (both included) and `step` (0: none).

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
            inside = [json.dumps(value, ensure_ascii=False) for value in self.values]
        else:
            numbers = (self.low, self.high, self.step)[: 3 if self.step else 2]
            inside = [repr(number).removesuffix(".0") for number in numbers]  # reads back as the same number
        return f"{self.kind}({', '.join(inside)})"

    def every(self) -> tuple[Any, ...] | None:
        """All its values; None where they are not a finite number."""
        if self.kind == "choice":
            return self.values
        step = self.step or (1 if self.whole else 0)
        if self.kind == "loguniform" or not step:
            return None
        count = int((self.high - self.low) / step + 1e-9) + 1
        return tuple(self._number(self.low + i * step) for i in range(count))

    def place(self, value: Any) -> float:
        """Where a plot shows a value: the number itself, or its position among the choices."""
        return float(self.values.index(value)) if self.kind == "choice" else float(value)

    def encoded(self, value: Any) -> Any:
        """A value as searchers take it: Optuna's categories are numbers, text and booleans."""
        return json.dumps(value) if isinstance(value, tuple) else value

    def decoded(self, value: Any) -> Any:
        """The option's value for a searcher's, without a step's rounding error."""
        if self.kind == "choice":
            return next(one for one in self.values if self.encoded(one) == value)
        return self._number(value)

    def _number(self, value: float) -> float:
        return round(value) if self.whole else float(f"{value:.12g}") if self.step else float(value)


@dataclass(frozen=True)
class Space:
    """The searched options, in the order they were given."""

    axes: tuple[Axis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the searched options."""
        return tuple(axis.name for axis in self.axes)

    def texts(self) -> dict[str, str]:
        """name -> plain text that `parse_space` reads."""
        return {axis.name: str(axis) for axis in self.axes}

    def values(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's options for what the searcher gave."""
        return {axis.name: axis.decoded(found[axis.name]) for axis in self.axes}

    def combinations(self) -> int | None:
        """Their number; None where it is infinite."""
        every = [axis.every() for axis in self.axes]
        return prod(len(values) for values in every if values is not None) if all(every) else None

    def image_options(self) -> list[dict[str, Any]]:
        """Every combination of the searched options that change the images; one empty one where none does."""
        axes = [axis for axis in self.axes if axis.name in IMAGE_OPTIONS]
        return [
            dict(zip((axis.name for axis in axes), values, strict=True))
            for values in product(*(axis.every() or () for axis in axes))
        ]


def parse_space(given: Mapping[str, Any] | Iterable[str | PathLike[str]] | PathLike[str]) -> Space:
    """The space of texts such as "lr=loguniform(1e-4, 1e-2)", of TOML files, or of a mapping from option to text.

    Raises InputError where an option is unknown or cannot be searched, or a value is out of range.
    """
    found: dict[str, Axis] = {}
    for name, value in given.items() if isinstance(given, Mapping) else _pairs(given):
        axis = _axis(name, value)
        if axis.name in found:
            raise InputError(f"the space names {axis.name.replace('_', '-')} twice: keep one")
        found[axis.name] = axis
    if not found:
        raise InputError("the space is empty: name an option, as in --space 'lr=loguniform(1e-4,1e-2)'")
    space = Space(tuple(found.values()))
    if any(axis.every() is None for axis in space.axes if axis.name in IMAGE_OPTIONS):
        raise InputError("size can only be searched over single values: size=choice(24, 32)")
    if len(space.image_options()) > _MOST_IMAGE_SETS:
        raise InputError(
            f"the space needs {len(space.image_options())} versions of all images in memory: at most {_MOST_IMAGE_SETS}"
        )
    return space


def check_effects(space: Space, config: Config, layers: Sequence[Mapping[str, Any]] | None = None) -> None:
    """Raises InputError where a searched option changes nothing in any trial.

    layers: of the user's own network, which the options of named models do not change
    """
    every = {axis.name: axis.every() for axis in space.axes}
    for name, other, needed in (
        ("momentum", "optimizer", WITH_MOMENTUM),
        ("nesterov", "optimizer", WITH_MOMENTUM),
        *((name, "augment", (kind,)) for name, kind in AUGMENTATION_OPTIONS.items()),
    ):
        possible = every.get(other) or (getattr(config, other),)
        if name in space.names and not any(_includes(value, one) for value in possible for one in needed):
            raise InputError(
                f"{name.replace('_', '-')} changes nothing with {other} {getattr(config, other)}: "
                f"leave it out of the space, or add --{other} {needed[0]}"
            )
    for name in ("teacher_weight", "teacher_temperature"):
        if name in space.names and not config.teacher:
            raise InputError(f"{name.replace('_', '-')} changes nothing without a teacher: leave it out of the space, "
                             "or add --teacher RUN")  # fmt: skip
    for name in set(SHAPING) & set(space.names) if layers is not None else ():
        if name != "dropout":
            raise InputError(f"{name.replace('_', '-')} changes named models, not an nn.Sequential of your own: "
                             "leave it out of the space")  # fmt: skip
        if not varies_dropout(layers):
            raise InputError("dropout changes nothing: the model has no Dropout layer; leave it out of the space")


def _includes(value: str, needed: str) -> bool:
    """Whether an optimizer or a list of augmentations includes this one; auto may, if it ever chooses it."""
    return needed in (AUTO_AUGMENTATIONS if value == "auto" else augmentations(value))


def varies_dropout(layers: Sequence[Mapping[str, Any]] | None) -> bool:
    """Whether searching dropout changes a network of these layers; None stands for a named model."""
    return layers is None or has_dropout(parsed(list(layers)))


def shown(value: Any) -> str:
    """A value as tables show it: numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return "-".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pairs(texts: Iterable[str | PathLike[str]] | PathLike[str]) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for one in texts if isinstance(texts, Iterable) else [texts]:
        text = fspath(one) if isinstance(one, PathLike) else one
        if not isinstance(text, str):
            raise InputError(f"space {_TAKES}, not {type(one).__name__}")
        name, sign, value = text.partition("=")
        if text.endswith(".toml"):
            if not (path := expanded(text)).exists():
                raise InputError(f"no space file {text}: give the path of a .toml file")
            values = read_toml(path)
            table = values.get("space", values)
            if not isinstance(table, dict):
                raise InputError(f'{text}: space is no table: write [space], then lines such as lr = "choice(0.1)"')
            pairs += table.items()
        elif sign:
            pairs.append((name.strip(), value.strip()))
        else:
            raise InputError(f"--space takes OPTION=VALUES or a .toml file, not '{text}'")
    return pairs


def _axis(name: str, value: Any) -> Axis:
    key = str(name).replace("-", "_")
    if key not in options():
        raise InputError(f"space: no option '{name}'{did_you_mean(key, sorted(set(options()) - set(NOT_SEARCHED)))}")
    if key in NOT_SEARCHED:
        raise InputError(f"space: {name} cannot be searched: {NOT_SEARCHED[key]}")
    kind, arguments = _parsed(name, value)
    if kind == "choice":
        if any(one is None for one in arguments):
            raise InputError(f"space: {name}=choice(...) has None, which is no value: leave it out of the choices")
        values = tuple(checked({key: one}, "space: ")[key] for one in arguments)
        if not values or len(set(values)) < len(values):
            raise InputError(f"space: {name}=choice(...) needs values, each of them once")
        return Axis(key, kind, values)
    types = [one for one in options()[key].kinds if one is not NoneType]
    if types not in ([int], [float]):
        raise InputError(f"space: {name} is not a number: give its values as choice(...)")
    if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in arguments):
        raise InputError(f"space: {name}={kind}(...) takes numbers, not {value}")
    if len(arguments) not in ((2, 3) if kind == "uniform" else (2,)):
        raise InputError(f"space: {name}={kind}(low, high{', step' if kind == 'uniform' else ''}), not {value}")
    for end in arguments[:2]:
        checked({key: end}, "space: ")
    if any(isinstance(one, int) and abs(one) >= 2**64 for one in arguments):
        raise InputError(f"space: {name}: the step is out of range")
    low, high, step = (*map(float, arguments), 0.0)[:3]
    whole = types == [int]
    if not low < high or (kind == "loguniform" and low <= 0):
        raise InputError(f"space: {name}={kind}({low:g}, {high:g}) is empty: low must be below high, and above 0 in "
                         "loguniform")  # fmt: skip
    if step < 0 or step > high - low or (whole and step % 1) or (step and (high - low) / step > _MOST_STEPS):
        raise InputError(f"space: {name} cannot go from {low:g} to {high:g} in steps of {step:g}")
    return Axis(key, kind, low=low, high=high, step=step, whole=whole)


def _parsed(name: str, value: Any) -> tuple[Kind, list[Any]]:
    """The function's name and its arguments."""
    if not isinstance(value, str):
        return "choice", list(value) if isinstance(value, (list, tuple)) else [value]
    call = re.fullmatch(r"\s*(?:([A-Za-z_]+)\s*\((.*)\)|\[(.*)\])\s*", value, re.DOTALL)
    if call is None:
        raise InputError(f"space: {name} takes choice(...), uniform(...) or loguniform(...), not '{value}'")
    word, inside = call[1] or "choice", call[2] if call[1] else call[3]
    if word not in _FUNCTIONS:
        raise InputError(f"space: {name}: no function '{word}'{did_you_mean(word, _FUNCTIONS)}")
    try:
        arguments = ast.literal_eval(f"[{_WORD.sub(_quoted, inside)}]")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise InputError(f"space: cannot read the values of {name} in '{value:.60}': write them as in choice(4, 8)"
                         ) from None  # fmt: skip
    if word == "choice" and len(arguments) == 1 and isinstance(arguments[0], list):
        # choice([4, 8]) means choice(4, 8), but choice([6, 16]) is one pair where the option takes pairs.
        pairs = "tuple" in str(options()[name.replace("-", "_")].kind)
        if not pairs or any(isinstance(one, (list, tuple)) for one in arguments[0]):
            arguments = arguments[0]
    return _FUNCTIONS[word], arguments


# A token, of which only bare words change. A text in quotes may have escaped ones inside.
_WORD = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[\d.]+(?:[eE][+-]?\d+)?|[A-Za-z_][\w-]*""")


def _quoted(token: re.Match[str]) -> str:
    text = token[0]
    if not (text[0].isalpha() or text[0] == "_"):
        return text
    return {"true": "True", "false": "False"}.get(text.lower(), repr(text))
