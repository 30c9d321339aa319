"""The progress bar: in terminals only."""

import io

from lenet.data.progress import progress


def test_the_bar_is_shown_in_terminals_only(monkeypatch, capsys):
    with progress("x", 10) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("some file", 10) as advance:
        advance(10)
    assert "some file" in terminal.getvalue()
