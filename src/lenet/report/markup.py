"""Pieces of HTML. Every text that comes from outside lenet goes through `escaped`."""

import html
from base64 import b64encode
from collections.abc import Iterable, Sequence

from lenet.report.console import visible

_TALL = 25  # rows of a table, from which on it scrolls by itself


def escaped(text: object) -> str:
    """The text in HTML, also within quotes; control characters are shown escaped."""
    return html.escape(visible(str(text)))


def section(name: str, title: str, *parts: str, wide: bool = False) -> str:
    """A section with a heading. name: its id, which must not be one of the live network's."""
    kind = ' class="wide"' if wide else ""
    return f'<section id="{name}"{kind} aria-labelledby="{name}-h">\n<h2 id="{name}-h">{title}</h2>\n' + (
        "\n".join(part for part in parts if part) + "\n</section>"
    )


def left_out(reason: str) -> str:
    """A sentence in place of a part that is left out; what follows its first colon is folded."""
    said, _, why = reason.partition(": ")
    if not why:
        return f'<p class="missing">Left out. {escaped(said)}</p>'
    return f'<details class="missing"><summary>Left out. {escaped(said)}.</summary>{escaped(why)}</details>'


def hint(text: str) -> str:
    """A quiet sentence."""
    return f'<p class="hint">{escaped(text)}</p>'


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """A list of names and values; the values are HTML."""
    return "<dl>" + "".join(f"<dt>{escaped(name)}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, sortable: bool = False) -> str:
    """A table of texts; all but the first column are numbers.

    sortable: a click on a column's name sorts the rows by it, where scripts run
    """
    lines = list(rows)
    kind = ' class="sortable"' if sortable else ""
    tall = " tall" if len(lines) > _TALL else ""
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{escaped(row[0])}</th>{"".join(f"<td>{escaped(cell)}</td>" for cell in row[1:])}</tr>'
        for row in lines
    )
    return f'<div class="scroll{tall}"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def png_url(content: bytes) -> str:
    """A PNG as an address within the page."""
    return f"data:image/png;base64,{b64encode(content).decode()}"
