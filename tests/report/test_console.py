"""What a name can do to the terminal that it is printed to: nothing."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from lenet.characters import visible
from lenet.report.console import PlainConsole, encodable


@given(st.text())
def test_whatever_is_shown_can_be_printed(text):
    shown = visible(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", shown)
    shown.encode()
    assert encodable(shown, "ascii").isascii()


def test_characters_that_an_encoding_lacks_are_substituted():
    assert encodable("75% ± 0.3 ━─ …", "ascii") == "75% +- 0.3 =- ..."
    assert encodable("75% ± 0.3 é模", "latin-1") == "75% ± 0.3 é\\u6a21"
    assert encodable("75% ± 0.3 é模", "utf-8") == "75% ± 0.3 é模"


@pytest.fixture
def console(monkeypatch):
    """A console, and a function that returns what it has printed."""

    def make(encoding="utf-8", terminal=False):
        written = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        written.isatty = lambda: terminal
        monkeypatch.setattr("sys.stdout", written)

        def printed():
            written.flush()
            return written.buffer.getvalue().decode(encoding)

        return PlainConsole(), printed

    return make


def test_long_lines_are_broken_between_words_on_a_terminal_alone(console, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    long = "note    " + "a word and another " * 4
    command = "resume  lenet train --resume --out runs/a-long-name"
    for terminal in (False, True):
        made, printed = console(terminal=terminal)
        made.lines(long, command, "words " * 10)
        lines = printed().splitlines()
        if terminal:
            assert lines[:3] == [
                "note    a word and another a word and",
                " " * 8 + "another a word and another a",
                " " * 8 + "word and another",
            ]
            assert lines[3] == command
            assert lines[4:] == ["words words words words words", " " * 8 + "words words words words words"]
        else:
            assert lines == [long, command, "words " * 10]


HOSTILE = "cat\x1b[2J[bold]:cat:\r"


def test_text_and_cells_are_escaped_and_columns_still_align(console):
    made, printed = console()
    table = Table(HOSTILE, "n", title=HOSTILE, caption=HOSTILE, box=None)
    table.add_row(HOSTILE, "1")
    table.add_row("dog", "2")
    made.print(table)
    made.print(HOSTILE, style="bold")
    made.lines(f"{HOSTILE}\nsecond line")
    assert "\x1b" not in printed()
    assert "\r" not in printed()
    assert printed().count("cat\\x1b[2J[bold]:cat:\\r") == 6
    assert printed().endswith("\\r\\nsecond line\n")
    one, two = (line.rstrip() for line in printed().splitlines()[2:4])
    assert one.index(" 1") == two.index(" 2")


def test_columns_align_in_ascii(console):
    made, printed = console("ascii")
    table = Table("run", "test %", "time", box=None)
    table.add_row("a", "75.4 ± 0.3", "1 s")
    table.add_row("b", "75.4", "2 s")
    made.print(table)
    lines = printed().splitlines()
    assert "75.4 +- 0.3" in lines[1]
    assert lines[1].index("1 s") == lines[2].index("2 s")


@pytest.mark.parametrize(
    ("environment", "terminal", "escapes", "redraws"),
    [
        ({}, True, True, True),
        ({}, False, False, False),
        ({"NO_COLOR": "1"}, True, False, False),
        ({"NO_COLOR": ""}, True, True, True),  # as no-color.org has it: where it is not empty
        ({"FORCE_COLOR": "1"}, False, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False, False),
        ({"TERM": "dumb"}, True, False, False),
    ],
)
def test_escapes_are_written_to_terminals_alone(console, monkeypatch, environment, terminal, escapes, redraws):
    for name, value in ({"TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    made, printed = console(terminal=terminal)
    made.print("name", style="bold red")
    assert ("\x1b" in printed()) == escapes
    assert made.redraws == redraws
