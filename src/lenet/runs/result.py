"""result.json, checked when it is read."""

import math
from collections.abc import Callable, Iterable
from typing import Any

Check = Callable[[Any], bool]


def result_fault(result: Any) -> str | None:
    """What is wrong with the content of a result.json; None if all that lenet reads of it has the right type."""
    if not isinstance(result, dict):
        return "not a table of figures"
    if fault := figures_fault(result, _CHECKS):
        return fault
    if result["members"]:
        for name in _OF_NETWORKS:
            if result.get(name) is None:
                return f"{name} is {'null' if name in result else 'missing'}"
    if result["best_network"] >= len(result["val_accuracy"]["each"]):
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


def is_number(value: Any) -> bool:
    """Whether this is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def is_count(value: Any) -> bool:
    """Whether this is a whole number of 0 or more."""
    return type(value) is int and value >= 0


def list_of(fits: Check) -> Check:
    """The check that passes a list of what the other one passes."""
    return lambda value: isinstance(value, list) and all(map(fits, value))


def or_none(fits: Check) -> Check:
    """The check that also passes None."""
    return lambda value: value is None or fits(value)


def _mean_sd(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and is_number(value.get("mean"))
        and or_none(is_number)(value.get("sd"))
        and list_of(is_number)(value.get("each"))
        and bool(value["each"])
        and (len(value["each"]) == 1 or value["sd"] is not None)
    )


def _seconds(value: Any) -> bool:
    return isinstance(value, dict) and all(is_number(value.get(name)) for name in ("train", "validation", "total"))


def _search(value: Any) -> bool:
    """Whether these are the figures of a search, as `lenet.tuning.results.facts_of` has them."""
    if not isinstance(value, dict) or not all(
        isinstance(value.get(name), dict) for name in ("best", "seconds", "failed")
    ):
        return False
    best, metric = value["best"], value.get("metric")
    counts = [value.get(name) for name in ("trials", "trial_epochs", "stopped")] + [
        best.get("trial"),
        best.get("epoch"),
    ]
    numbers = [value["seconds"].get(name) for name in ("start", "search", "confirm")] + [best.get("val_accuracy")]
    return (
        isinstance(metric, str)
        and all(map(is_count, counts))
        and all(map(is_number, [*numbers, best.get(metric)]))
        and isinstance(best.get("values"), dict)
        and list_of(is_count)(value.get("kept"))
    )


# None in a search without confirmation, which has no networks of its own.
_OF_NETWORKS = (
    *("parameters", "learning_parameters", "val_balanced_accuracy", "val_macro_f1", "test_accuracy", "test_loss"),
    *("test_balanced_accuracy", "test_macro_f1", "test_calibration_error", "test_calibration_error_uncalibrated"),
)
_ALWAYS = ("parameters", "test_accuracy")  # None without a confirmation, but never missing
_CHECKS: dict[str, Check] = {
    "data": lambda value: isinstance(value, str),
    "data_sha256": lambda value: isinstance(value, str),
    "parameters": or_none(is_count),
    "learning_parameters": or_none(is_count),
    "members": is_count,
    "failed": list_of(is_count),
    "epochs": is_count,
    "seconds": _seconds,
    "images_per_second": is_number,
    "val_accuracy": _mean_sd,
    "val_balanced_accuracy": or_none(_mean_sd),
    "val_macro_f1": or_none(_mean_sd),
    "test_accuracy": or_none(_mean_sd),
    "val_loss": _mean_sd,
    "test_loss": or_none(_mean_sd),
    "test_balanced_accuracy": or_none(_mean_sd),
    "test_macro_f1": or_none(_mean_sd),
    "test_interval": or_none(lambda value: list_of(is_number)(value) and len(value) == 2),
    "test_calibration_error": or_none(_mean_sd),
    "test_calibration_error_uncalibrated": or_none(_mean_sd),
    "test_images": is_count,
    "test_images_seen": is_count,
    "val_images": is_count,
    "val_images_seen": or_none(is_count),
    "best_network": is_count,
    "best_epoch": lambda value: list_of(is_count)(value) and bool(value),
    "config": lambda value: isinstance(value, dict),
    "search": or_none(_search),
}
