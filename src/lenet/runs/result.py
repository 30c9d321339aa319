"""result.json, checked when it is read."""

import math
from collections.abc import Callable, Iterable
from typing import Any

_Check = Callable[[Any], bool]


def result_fault(result: Any) -> str | None:
    """What is wrong with the content of a result.json; None if all that lenet reads of it has the right type."""
    if not isinstance(result, dict):
        return "not a table of figures"
    if fault := figures_fault(result, _CHECKS):
        return fault
    if (result.get("best_network") or 0) >= len(result["val_accuracy"]["each"]):
        return f"best_network is {result['best_network']}"
    return None


def figures_fault(figures: Any, names: Iterable[str]) -> str | None:
    """What is wrong with these figures of a run; None if each of them has the right type."""
    if not isinstance(figures, dict):
        return "not a table of figures"
    for name in names:
        if not _CHECKS[name](figures.get(name)) or (name in _ALWAYS and name not in figures):
            return f"{name} is {figures.get(name)!r:.60}" if name in figures else f"{name} is missing"
    return None


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _list_of(fits: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _or_none(fits: _Check) -> _Check:
    return lambda value: value is None or fits(value)


def _mean_sd(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _number(value.get("mean"))
        and _or_none(_number)(value.get("sd"))
        and _list_of(_number)(value.get("each"))
        and bool(value["each"])
        and (len(value["each"]) == 1 or value["sd"] is not None)
    )


def _seconds(value: Any) -> bool:
    return isinstance(value, dict) and all(_number(value.get(name)) for name in ("train", "validation", "total"))


_ALWAYS = ("parameters", "test_accuracy")  # None without a confirmation, but never missing
_CHECKS: dict[str, _Check] = {
    "data": lambda value: isinstance(value, str),
    "data_sha256": lambda value: isinstance(value, str),
    "parameters": _or_none(_count),
    "learning_parameters": _or_none(_count),
    "members": _count,
    "failed": _or_none(_list_of(_count)),
    "epochs": _count,
    "seconds": _seconds,
    "images_per_second": _number,
    "val_accuracy": _mean_sd,
    "val_balanced_accuracy": _or_none(_mean_sd),  # older runs have none
    "val_macro_f1": _or_none(_mean_sd),
    "test_accuracy": _or_none(_mean_sd),  # a search without confirmation has none
    "val_loss": _or_none(_mean_sd),  # of earlier versions, which have no losses
    "test_loss": _or_none(_mean_sd),
    "test_balanced_accuracy": _or_none(_mean_sd),
    "test_macro_f1": _or_none(_mean_sd),
    "test_interval": _or_none(lambda value: _list_of(_number)(value) and len(value) == 2),
    "test_calibration_error": _or_none(_mean_sd),  # older runs have none
    "test_calibration_error_uncalibrated": _or_none(_mean_sd),
    "test_images": _count,
    "test_images_seen": _or_none(_count),  # older runs have none of these
    "val_images": _or_none(_count),
    "val_images_seen": _or_none(_count),
    "best_network": _or_none(_count),  # of older runs the one with the highest validation accuracy
    "best_epoch": lambda value: _list_of(_count)(value) and bool(value),
    "config": lambda value: isinstance(value, dict),
}
