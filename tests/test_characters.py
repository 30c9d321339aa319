"""Control characters in names are shown escaped."""

import pytest

from lenet.characters import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("Bär 模 ± 🐈 a\u00a0b", "Bär 模 ± 🐈 a\u00a0b"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),  # a control sequence of one character, and delete
        ("a\r\n\tb\x00", "a\\r\\n\\tb\\x00"),
        ("abc\u202edef\u2028", "abc\\u202edef\\u2028"),  # would be shown backwards
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\udcff", "a\\xff"),  # a byte of a file name that is not UTF-8
    ],
)
def test_control_characters_are_shown_escaped(text, shown):
    assert visible(text) == shown
