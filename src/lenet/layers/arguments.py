"""Checks of the layer arguments that a checkpoint stores. A check returns the value in the type of the argument.

A check raises ValueError with a phrase such as "must be a whole number from 1 to 9"; callers add name and value.
Booleans are not accepted as numbers.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any

Check = Callable[[Any], Any]

_MOST = 1 << 20  # channels or features of one layer


def whole(low: int, high: int = _MOST) -> Check:
    """An integer from low to high."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def number(low: float, high: float) -> Check:
    """A float or integer from low to high, as float."""

    def check(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def flag(value: Any) -> bool:
    """A boolean."""
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def one_of(*words: str) -> Check:
    """One of these strings."""

    def check(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return check


def pair(low: int, *others: Any) -> Check:
    """An integer from low to 1024, or one each for height and width as a tuple; or one of `others`, strings or None."""
    one = whole(low, 1024)

    def check(value: Any) -> Any:
        if isinstance(value, (str, type(None))) and value in others:
            return value
        if not isinstance(value, (list, tuple)):
            return one(value)
        if len(value) != 2:
            raise ValueError("must be one or two whole numbers")
        return tuple(map(one, value))

    return check


def optional(check: Check) -> Check:
    """None, or what `check` accepts."""
    return lambda value: None if value is None else check(value)


def per_channel(value: Any) -> list[float]:
    """A list of one or three finite numbers, as floats."""
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 3):
        raise ValueError("must be a list of one or three numbers")
    if not all(type(one) in (int, float) and isfinite(one) for one in value):
        raise ValueError("must be finite numbers")
    return [float(one) for one in value]


def must_be_true(why: str) -> Check:
    """True; otherwise ValueError with the message `why`."""

    def check(value: Any) -> bool:
        if value is not True:
            raise ValueError(why)
        return True

    return check
