"""Pieces of HTML. Every text that comes from outside lenet goes through `escaped`."""

import html
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from os import fsencode, path
from pathlib import Path
from urllib.parse import quote

from lenet.characters import visible

_TALL = 25  # rows of a table, from which on it scrolls by itself


@dataclass(frozen=True)
class Link:
    """A text of a table that leads to another file, as an address relative to the page."""

    text: str
    href: str


Cell = str | Link


def link_to(text: str, file: Path, page: Path) -> Cell:
    """A link from the page to the file, or the text alone if there is no such file."""
    if not file.is_file():
        return text
    return Link(text, quote(fsencode(path.relpath(file, page.parent))))


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


def table(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], *, sortable: bool = False, words: Collection[str] = ()
) -> str:
    """A table of texts and links; all columns but the first and those named in `words` are numbers.

    sortable: a click on a column's name sorts the rows by it, where scripts run
    """
    lines = list(rows)
    kind = ' class="sortable"' if sortable else ""
    tall = " tall" if len(lines) > _TALL else ""
    of = [' class="words"' if name in words else "" for name in header]
    head = "".join(f'<th scope="col"{one}>{escaped(name)}</th>' for name, one in zip(header, of, strict=True))
    body = "".join(
        f'<tr><th scope="row">{linked(row[0])}</th>'
        f"{''.join(f'<td{one}>{linked(cell)}</td>' for one, cell in zip(of[1:], row[1:], strict=True))}</tr>"
        for row in lines
    )
    return f'<div class="scroll{tall}"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def linked(cell: Cell) -> str:
    """The cell as HTML."""
    return f'<a href="{escaped(cell.href)}">{escaped(cell.text)}</a>' if isinstance(cell, Link) else escaped(cell)


def command_block(command: str) -> str:
    """A command on a line of its own."""
    return f"<pre><code>{escaped(command)}</code></pre>"


def png_url(content: bytes) -> str:
    """A PNG as an address within the page."""
    return f"data:image/png;base64,{b64encode(content).decode()}"
