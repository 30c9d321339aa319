"""study.json: the figures of a study's runs and their paired differences, checked when it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lenet.errors import InputError
from lenet.evaluation.comparison import Paired
from lenet.files import read_json
from lenet.runs.kinds import STUDY_FILE
from lenet.runs.result import figures_fault

FIGURES = (
    *("data", "parameters", "learning_parameters", "epochs", "failed", "seconds"),
    *("val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss"),
    *("test_accuracy", "test_balanced_accuracy", "test_macro_f1", "test_loss"),
    *("test_images", "test_images_seen", "val_images", "val_images_seen"),
)  # of result.json
_OLDER = {"test_images": 0}  # studies of older versions have none
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
    notes: why other pairs have no paired difference; command: empty in studies of older versions, which lack parts too
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
        fault = figures_fault(_OLDER | figures if isinstance(figures, dict) else figures, FIGURES)
        if fault is None and (figures["test_accuracy"] is None or figures["parameters"] is None):
            fault = "test_accuracy or parameters is missing"
        if fault:
            raise _damaged(path, f"runs.{name}: {fault}")
    try:
        pairs = {(one["first"], one["second"]): _paired(one) for one in kept["pairs"]}
        parts = {name: _part(one) for name, one in kept.get("parts", {}).items()}
        notes = tuple(map(str, kept.get("notes", ())))
        texts = {name: str(kept.get(name, "")) for name in ("study", "title", "command")}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from None
    if unknown := {name for pair in pairs for name in pair} - runs.keys():
        raise _damaged(path, f"no run {min(unknown)!r}")
    parts = {name: parts.get(name, Part()) for name in runs}
    name = texts["study"] or folder.name
    return StudyResult(name, texts["title"] or name, texts["command"], runs, parts, pairs, notes)


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(f"{path} is damaged ({fault}): {_MEND}")


def _paired(values: Mapping[str, Any]) -> Paired:
    first, second = values["networks"]
    difference, low, high, p = (float(values[name]) for name in ("difference", "low", "high", "p"))
    images, only_first, only_second = (int(values[name]) for name in ("images", "only_first", "only_second"))
    return Paired(difference, low, high, (int(first), int(second)), images, only_first, only_second, p)


def _part(values: Mapping[str, Any]) -> Part:
    transfer, label, per_class = (values.get(one.name) for one in fields(Part))
    return Part(
        None if transfer is None else str(transfer), None if label is None else str(label),
        None if per_class is None else int(per_class),
    )  # fmt: skip
