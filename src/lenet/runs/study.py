"""study.json: the figures of a study's runs and their paired differences, checked when it is read."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet.errors import InputError
from lenet.evaluation.comparison import Paired
from lenet.files import read_json
from lenet.runs.kinds import STUDY_FILE
from lenet.runs.result import Check, figures_fault, is_count, is_number, list_of, or_none

FIGURES = (
    *("data", "parameters", "learning_parameters", "epochs", "failed", "seconds"),
    *("val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss"),
    *("test_accuracy", "test_balanced_accuracy", "test_macro_f1", "test_loss"),
    *("test_images", "test_images_seen", "val_images", "val_images_seen"),
)  # of result.json
_MEND = "restore it, or repeat the study's command, which keeps finished runs"


@dataclass(frozen=True)
class Part:
    """A run of a study.

    transfer: the run that it starts from; label: its line in the plot of accuracy over images per class; per_class:
    number of those images. None if it has none
    """

    transfer: str | None = None
    label: str | None = None
    per_class: int | None = None


@dataclass(frozen=True)
class StudyResult:
    """A finished study.

    runs: each run's figures, by name, as in its result.json; parts: by name; pairs: paired differences by names
    notes: why other pairs have no paired difference; command: empty if Python ran no script
    """

    name: str
    title: str
    command: str
    runs: Mapping[str, Mapping[str, Any]]
    parts: Mapping[str, Part]
    pairs: Mapping[tuple[str, str], Paired]
    notes: tuple[str, ...]


def read_study_result(folder: Path) -> StudyResult:
    """The content of study.json. Raises InputError if it is damaged."""
    path = folder / STUDY_FILE
    kept = read_json(path, _MEND)
    if not isinstance(kept, dict):
        raise _damaged(path, "not a table")
    runs = kept.get("runs")
    if not isinstance(runs, dict) or not runs:
        raise _damaged(path, "it has no runs")
    for name, figures in runs.items():
        fault = figures_fault(figures, FIGURES)
        if fault is None and (figures["test_accuracy"] is None or figures["parameters"] is None):
            fault = "test_accuracy or parameters is missing"
        if fault:
            raise _damaged(path, f"runs.{name}: {fault}")
    try:
        found = _checked(kept, _STUDY)
        pairs = _pairs(found["pairs"], runs)
        parts = {name: Part(**_checked(found["parts"].get(name), _PART)) for name in runs}
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    return StudyResult(found["study"], found["title"], found["command"], runs, parts, pairs, tuple(found["notes"]))


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(f"{path} is damaged ({fault}): {_MEND}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_STUDY: dict[str, Check] = {
    **dict.fromkeys(("study", "title", "command"), _is_text),
    "pairs": list_of(lambda value: isinstance(value, dict)),
    "parts": lambda value: isinstance(value, dict),
    "notes": list_of(_is_text),
}
_PAIR: dict[str, Check] = {
    **dict.fromkeys(("difference", "low", "high", "p"), is_number),
    **dict.fromkeys(("images", "only_first", "only_second"), is_count),
    "networks": lambda value: list_of(is_count)(value) and len(value) == 2,
}
_PART: dict[str, Check] = {"transfer": or_none(_is_text), "label": or_none(_is_text), "per_class": or_none(is_count)}


def _pairs(values: Sequence[Any], runs: Container[str]) -> dict[tuple[str, str], Paired]:
    """The paired differences by the names of their runs. Raises ValueError for one that is not valid."""

    def is_run(value: Any) -> bool:
        return _is_text(value) and value in runs

    pairs = {}
    for value in values:
        found = _checked(value, {"first": is_run, "second": is_run, **_PAIR})
        names = found.pop("first"), found.pop("second")
        pairs[names] = Paired(**{**found, "networks": tuple(found["networks"])})
    return pairs


def _checked(values: Any, checks: Mapping[str, Check]) -> dict[str, Any]:
    """The values of these names. Raises ValueError for one that does not pass its check."""
    if not isinstance(values, dict):
        raise ValueError(f"{values!r:.60} is not a table")
    for name, fits in checks.items():
        if not fits(values.get(name)):
            raise ValueError(f"{name} is {values[name]!r:.60}" if name in values else f"{name} is missing")
    return {name: values.get(name) for name in checks}
