"""Predictions as a table, CSV, JSON or JSON lines, written image by image, and their number by class."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.table import Table

from lenet.characters import visible
from lenet.errors import counted
from lenet.evaluation.likeness import Likeness
from lenet.evaluation.prediction import Prediction
from lenet.evaluation.rejection import UNLIKE, UNSURE, Accepted, Limits
from lenet.report.console import PlainConsole
from lenet.report.sheet import Sheet

_ROWS = 200  # images of which a table is made at once; its columns are as wide as the first ones need
UNKNOWN = "unknown"  # the answer to rejected images
_ERRORS = 20  # that are kept


Write = Callable[[Prediction], None]


@contextmanager
def writer(format: str, file: TextIO, top: int) -> Iterator[Write]:
    """A function that writes a prediction; what is left is written when the block ends without an error.

    format: "table" (on standard output), "csv", "json" (one list) or "jsonl"
    top: classes per image, for the CSV's header
    """
    if format == "table":
        yield from _table()
    elif format == "csv":
        yield _csv(file, top)
    elif format == "json":
        yield from _json(file)
    else:
        yield _lines(file)


def _csv(file: TextIO, top: int) -> Write:
    sheet = Sheet(file)
    more = [f"{name}_{place}" for place in range(2, top + 1) for name in ("predicted", "confidence")]
    sheet.row(["file", "predicted", "confidence", *more, "reason", "error"])

    def write(one: Prediction) -> None:
        pairs = [(name, f"{value:.6f}") for name, value in zip(one.classes, one.probabilities, strict=True)]
        if one.unknown:
            pairs[0] = (UNKNOWN, pairs[0][1])
        pairs += [("", "")] * (top - len(pairs))
        sheet.row([one.image, *(field for pair in pairs for field in pair), one.reason or "", one.error or ""])

    return write


def _json(file: TextIO) -> Iterator[Write]:
    separator = "[\n "

    def write(one: Prediction) -> None:
        nonlocal separator
        file.write(separator + _as_json(one, indent=1).replace("\n", "\n "))
        separator = ",\n "

    yield write
    file.write("[]\n" if separator.startswith("[") else "\n]\n")


def _lines(file: TextIO) -> Write:
    def write(one: Prediction) -> None:
        file.write(f"{_as_json(one)}\n")

    return write


def _as_json(one: Prediction, indent: int | None = None) -> str:
    return json.dumps(vars(one), indent=indent).replace("\x7f", "\\u007f")  # JSON escapes all other control characters


def _rejected(one: Prediction) -> str:
    return f"{UNKNOWN}: {one.reason}"


def _table() -> Iterator[Write]:
    console, waiting = PlainConsole(), list[Prediction]()
    widths: tuple[int, int] | None = None  # of the first two columns, as the first images need

    def flush() -> None:
        nonlocal widths
        table = Table(box=None, pad_edge=False, header_style="bold", show_header=widths is None)
        names = [visible(one.image) for one in waiting]
        classes = [visible(name) for one in waiting for name in one.classes]
        classes += [_rejected(one) for one in waiting if one.unknown]
        widths = widths or (max(map(len, ["image", *names])), max(map(len, ["class", *classes])))
        fits = sum(widths) + len("probability") + 4 <= console.width  # otherwise Rich decides what is folded
        for column, width in zip(("image", "class"), widths, strict=True):
            table.add_column(column, overflow="fold", min_width=width if fits else None)
        table.add_column("probability", justify="right", no_wrap=True)
        for shown, one in zip(names, waiting, strict=True):
            if one.unknown:
                table.add_row(shown, _rejected(one), "")
            for place, (name, probability) in enumerate(zip(one.classes, one.probabilities, strict=True)):
                table.add_row(
                    shown if place == 0 and not one.unknown else "", visible(name), f"{100 * probability:.1f}%"
                )
        console.print(table)
        waiting.clear()

    def write(one: Prediction) -> None:
        if one.error is None:
            waiting.append(one)
        if len(waiting) >= _ROWS:
            flush()

    yield write
    if waiting:
        flush()


class Counts:
    """How many images were predicted to be of each class, and the first errors."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes, self._images = classes, Counter[str]()
        self.failed, self.errors = 0, list[str]()
        self.reasons = Counter[str]()  # rejected images by reason

    def add(self, one: Prediction) -> None:
        """Count one image."""
        if one.error is None:
            if one.unknown:
                self.reasons[one.reason or ""] += 1
            else:
                self._images[one.classes[0]] += 1
            return
        self.failed += 1
        if len(self.errors) < _ERRORS:
            self.errors.append(one.error)

    @property
    def unknown(self) -> int:
        """Number of images that were rejected."""
        return self.reasons.total()

    @property
    def predicted(self) -> int:
        """Number of images that could be read."""
        return self._images.total() + self.unknown

    @property
    def total(self) -> int:
        """Number of all images."""
        return self.predicted + self.failed

    def table(self) -> Table:
        """Predicted images by class, in the order of the classes; those without images are left out."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("predicted class", overflow="fold")
        for name in ("images", "fraction"):
            table.add_column(name, justify="right", no_wrap=True)
        for name in self._classes:
            if count := self._images[name]:
                table.add_row(visible(name), f"{count:,}", f"{100 * count / self.predicted:.1f}%")
        if self.unknown:
            name = f"{UNKNOWN} (rejected)" if UNKNOWN in self._classes else UNKNOWN
            table.add_row(name, f"{self.unknown:,}", f"{100 * self.unknown / self.predicted:.1f}%")
        return table


def coverage(counts: Counts, limits: Limits, rows: Sequence[Accepted], likeness: Likeness | None) -> list[str]:
    """How many images were accepted, and why the others were not; nothing where no image could be rejected.

    rows, likeness: the network's, from its checkpoint
    """
    if not counts.unknown and not limits.confidence:
        return []
    others = "; the others are unknown:" if counts.unknown else ""
    lines = [f"accepted {counts.predicted - counts.unknown:,} of {counted(counts.predicted, 'image')}{others}"]
    if limits.confidence:
        accepted = next(row.accepted for row in rows if row.threshold == limits.confidence)
        fraction = 1 - accepted / max(row.accepted for row in rows)
        lines.append(
            f"         {counts.reasons[UNSURE]:,} with a confidence below {100 * limits.confidence:.1f}% "
            f"({100 * fraction:.0f}% of the validation images)"
        )
    if likeness and (unlike := counts.reasons[UNLIKE]):
        fraction = likeness.rejected(limits.distance)
        lines.append(f"         {unlike:,} {UNLIKE} ({100 * fraction:.1f}% of the validation images)")
    return lines
