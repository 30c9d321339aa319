"""CSV for spreadsheets: one line per row, no control characters, and no field that is taken for a formula."""

import csv
from collections.abc import Iterable
from typing import Any, Protocol

from lenet.characters import visible

# Spreadsheets calculate a field that starts with one of these, and a formula may start programs or send data away.
_FORMULA = ("=", "+", "-", "@")


class _Writable(Protocol):
    def write(self, text: str, /) -> Any: ...


class Sheet:
    """Writes rows of texts and numbers as CSV."""

    def __init__(self, file: _Writable) -> None:
        self._writer = csv.writer(file, lineterminator="\n")

    def row(self, fields: Iterable[str | int | float]) -> None:
        """Write one row. Texts are written as `safe` returns them."""
        self._writer.writerow([safe(field) if isinstance(field, str) else field for field in fields])


def safe(text: str) -> str:
    r"""The text as it can stand in a spreadsheet.

    Control characters, line breaks and bytes that are not UTF-8 are escaped, as on the terminal: \n, \x1b, \xff. A
    text that would be a formula gets an apostrophe before it, which spreadsheets take for "this is text".
    """
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
