"""Checks of the arguments that a checkpoint keeps of a layer: each returns the value in its own type.

They raise ValueError with the end of a sentence: "must be a whole number from 1 to 9". Booleans are not numbers here,
though Python takes them for such.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any

Check = Callable[[Any], Any]

_MOST = 1 << 20  # channels or features of one layer


def whole(low: int, high: int = _MOST) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def number(low: float, high: float) -> Check:
    def check(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def one_of(*words: str) -> Check:
    def check(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return check


def pair(low: int, *others: Any) -> Check:
    """A whole number, or one for each of height and width; or one of the other values."""
    one = whole(low, 1024)

    def check(value: Any) -> Any:
        if isinstance(value, (str, type(None))) and value in others:
            return value
        if not isinstance(value, (list, tuple)):
            return one(value)
        if len(value) != 2:
            raise ValueError("must be one number, or two")
        return tuple(map(one, value))

    return check


def optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def per_channel(value: Any) -> list[float]:
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 3):
        raise ValueError("must be a list of one number or three")
    if not all(type(one) in (int, float) and isfinite(one) for one in value):
        raise ValueError("must be finite numbers")
    return [float(one) for one in value]


def must_be_true(why: str) -> Check:
    def check(value: Any) -> bool:
        if value is not True:
            raise ValueError(why)
        return True

    return check
