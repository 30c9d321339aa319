"""The options by name, and the values that users give them: converted to the option's type, and checked."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from reprlib import Repr
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lenet.characters import visible
from lenet.config.augmentation import augment_text
from lenet.config.class_weights import weights_text
from lenet.config.options import GROUPS
from lenet.errors import InputError, did_you_mean

_NEEDED = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Option:
    """One option. `kind` is its type; `low` and `high` bound a number, both included; `most` a tuple's length."""

    name: str
    kind: Any
    default: Any
    meaning: str
    low: float | None
    high: float | None
    most: int | None
    group: type

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types of its values: of `int | None`, int and NoneType."""
        return get_args(self.kind) if get_origin(self.kind) in (Union, UnionType) else (self.kind,)

    @property
    def values(self) -> str:
        """Its values in words: "int, 1 to 1,000", or "'sgd', 'adam' or 'adamw'"."""
        kind = next(one for one in self.kinds if one is not NoneType)
        if get_origin(kind) is Literal:
            *words, last = map(repr, get_args(kind))
            return f"{', '.join(words)} or {last}"
        text = str(kind.__name__)
        if get_origin(kind) is tuple:
            number = f"up to {self.most}" if self.most else "two"
            text = f"{number} {get_args(kind)[0].__name__}s"
        return text if self.low is None or self.high is None else f"{text}, {_number(self.low)} to {_number(self.high)}"

    def described(self, default: str | None = None) -> str:
        """Its meaning and default. default: a text that replaces the option's own default."""
        if default is not None:
            return f"{self.meaning.partition(' Default: ')[0]} Default: {default}."
        if self.default is None or self.default == "":
            return self.meaning
        return f"{self.meaning} Default: {str(self.default).lower()}."


def options() -> dict[str, Option]:
    """Every option by name, in the order of the groups."""
    if not _options:
        for group in GROUPS:
            hints = get_type_hints(group)
            for one in fields(group):
                assert one.default is not MISSING
                _options[one.name] = Option(one.name, hints[one.name], one.default, group=group, **one.metadata)
    return dict(_options)


_options: dict[str, Option] = {}


def names_in(listed: str | None) -> tuple[str, ...] | None:
    """The names in "a, b, c"."""
    return None if listed is None else tuple(name.strip() for name in listed.split(",") if name.strip())


def checked(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The values by option name, each in its option's type. Paths and NumPy scalars are converted.

    Raises InputError, whose message opens with `where`, for an unknown option, a wrong type or a value out of range.
    """
    known = options()
    result = {}
    for name, value in values.items():
        key = name.replace("-", "_")
        if key not in known:
            raise InputError(f"{where}no option '{name}'{did_you_mean(key, known)}")
        if key in result:
            raise InputError(f"{where}{key.replace('_', '-')} is given twice, with - and with _: leave one out")
        result[key] = _converted(f"{where}{key.replace('_', '-')}", value, known[key], known[key].kind)
    return result


def _converted(name: str, value: Any, option: Option, kind: Any) -> Any:
    """`value` as `kind`, within the option's range."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):  # a NumPy or PyTorch scalar
        value = value.item()
    if option.name in _SYNTAX:
        value = _SYNTAX[option.name](name, value)
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        kind = next(one for one in get_args(kind) if one is not NoneType)
    if get_origin(kind) is Literal:
        words = get_args(kind)
        if type(value) is not type(words[0]):
            raise InputError(f"{name} takes {_NEEDED[type(words[0])]}, not {shown(value)}")
        if value not in words:
            raise InputError(f"{name} cannot be '{_word(value)}'{did_you_mean(_word(value), map(str, words))}")
        return value
    if get_origin(kind) is tuple:
        each, *rest = get_args(kind)
        if len(getattr(value, "shape", ())) == 1:  # an array or a tensor
            value = value.tolist()
        if each is str and isinstance(value, str):
            value = [value]
        most = option.most or 1 + len(rest)
        if not isinstance(value, (list, tuple)) or len(value) > most or (len(value) < most and not option.most):
            what = "texts" if each is str else "numbers"
            raise InputError(f"{name} takes {'up to ' if option.most else ''}{most} {what}, not {shown(value)}")
        return tuple(_converted(name, one, option, each) for one in value)
    if isinstance(value, int) and abs(value) >= 2**64:  # too large for a float, and for a message
        raise InputError(f"{name} is out of range: give at most {_number(option.high or 0)}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, str):
        _check_text(name, value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{name} takes {_NEEDED[kind]}, not {shown(value)}")
    if option.low is not None and option.high is not None and not option.low <= value <= option.high:
        low, high = _number(option.low), _number(option.high)
        raise InputError(f"{name} must lie between {low} and {high}, not {_number(value)}")
    return value


def _check_text(name: str, text: str) -> None:
    """Raises InputError for an empty text, and for what TOML cannot contain: a NUL, or bytes that are not UTF-8."""
    if not text.strip():
        raise InputError(f"{name} is empty: give a value, or leave it out")
    if "\0" in text:
        raise InputError(f"{name} contains a NUL character: remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} '{visible(text)}' is not UTF-8, as config.toml must be: rename the file") from None


def _classes_text(name: str, value: Any) -> Any:
    """The value. Raises InputError for a list of no names, and for a name that is listed twice."""
    if not isinstance(value, str):
        return value
    names = names_in(value) or ()
    if not names:
        raise InputError(f"{name} '{value}' lists no class: give names separated by commas, or leave it out")
    if doubled := next((one for one in names if names.count(one) > 1), None):
        raise InputError(f"{name} lists '{doubled}' twice: list each class once")
    return value


def _sha256_text(name: str, value: Any) -> Any:
    """The value. Raises InputError for a text that is no SHA-256."""
    if isinstance(value, str) and not re.fullmatch("[0-9a-f]{64}", value):
        raise InputError(f"{name} takes 64 hexadecimal digits, not {shown(value)}")
    return value


# Options whose texts have a syntax of their own: what messages call the option, and the value, to the value to check.
_SYNTAX: dict[str, Callable[[str, Any], Any]] = {
    "augment": augment_text,
    "class_weights": weights_text,
    "classes": _classes_text,
    **dict.fromkeys(("data_sha256", "start_sha256", "teacher_sha256"), _sha256_text),
}


def _number(value: float) -> str:
    """1,000,000 or 1e-09."""
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e12 else f"{value:g}"


def shown(value: Any) -> str:
    """A value's repr on one line, cut to about 60 characters, since it may be a whole array."""
    short = Repr()
    short.maxstring = short.maxother = 60
    return " ".join(short.repr(value).split())


def _word(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) and len(str(value)) <= 60 else shown(value)
