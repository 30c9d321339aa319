"""The console that the command line prints to: control characters are shown escaped, other encodings get ASCII."""

import codecs
import os
import re
import sys
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from lenet.characters import visible

_LABEL = 8  # characters of "data    ", and of the indent of lines that belong to it
_WITH_COMMAND = re.compile(r"\b(lenet [a-z]|python |pip )")
_SUBSTITUTES = str.maketrans({"±": "+-", "×": "x", "−": "-", "–": "-", "…": "...", "━": "=", "╸": "-", "─": "-"})


class PlainConsole(Console):
    """Rich's console without markup, since names and paths may hold brackets and colons.

    Escapes control characters in every text it prints: a class or file name could otherwise move the cursor or rename
    the window. With NO_COLOR it writes no escape sequences at all, so neither styles nor live tables.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        plain = bool(os.environ.get("NO_COLOR"))
        terminal = False if plain else None
        super().__init__(markup=False, emoji=False, highlight=False, force_terminal=terminal, stderr=stderr)

    @property
    def redraws(self) -> bool:
        """Whether a table can be redrawn in place; in a pipe it cannot, also where FORCE_COLOR asks for colours."""
        return self.is_terminal and not self.is_dumb_terminal and self.file.isatty()

    def lines(self, *lines: str) -> None:
        """Print lines; a line break within one, as part of a name, is escaped too.

        On a terminal a line that is too long is broken between words, but for one with a command: it is to be copied.
        """
        for line in map(visible, lines):
            fits = not self.redraws or cell_len(line) <= max(self.width, 2 * _LABEL)
            if fits or _WITH_COMMAND.search(line):
                self.print(line, soft_wrap=True)
                continue
            label, rest = (line[:_LABEL], line[_LABEL:]) if line[_LABEL - 1 : _LABEL] == " " else ("", line)
            for part in Text(rest).wrap(self, max(self.width - _LABEL, _LABEL)):
                self.print(f"{label}{part.plain.rstrip()}", soft_wrap=True)
                label = " " * _LABEL

    def render_str(self, text: str, **options: Any) -> Text:
        """Called by Rich for every string that is printed or stands in a table, before widths are measured."""
        shown = "\n".join(visible(line) for line in text.split("\n"))
        return super().render_str(encodable(shown, self.encoding), **options)

    def on_broken_pipe(self) -> None:
        """Called by Rich where the output is a closed pipe; Rich's own console would end the process."""
        raise BrokenPipeError


def encodable(text: str, encoding: str) -> str:
    """The text as it can be written in this encoding: "±" becomes "+-", other characters are escaped."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, _HANDLER).decode(encoding)
    return text


def accept_all_characters() -> None:
    """Let standard output and error write what their encoding lacks as `encodable` does, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors=_HANDLER)


def _substitute(error: UnicodeError) -> tuple[str, int]:
    """A codec error handler: an ASCII substitute for what cannot be encoded."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end].translate(_SUBSTITUTES)
    return "".join(map(_ascii, characters)), error.end


def _ascii(character: str) -> str:
    return character if character.isascii() else visible(character).encode("ascii", "backslashreplace").decode("ascii")


_HANDLER = "lenet.substitute"
codecs.register_error(_HANDLER, _substitute)
