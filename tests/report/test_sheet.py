"""CSV for spreadsheets: no formulas, one line per row, valid UTF-8 whatever the names are."""

import csv
import io

import pytest

from lenet.report.sheet import Sheet, safe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ('größe 猫, "it\'s"', 'größe 猫, "it\'s"'),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@sum", "'@sum"),
        ("  =1", "'  =1"),
        ("a=1", "a=1"),
        ("\t=1", r"\t=1"),
        ("a\nb\rc\0", r"a\nb\rc\x00"),
        ("\x1b[2J\x9b\u202e", r"\x1b[2J\x9b\u202e"),
        ("byte \udcff", r"byte \xff"),
    ],
)
def test_texts_are_neither_formulas_nor_control_characters(text, shown):
    assert safe(text) == shown


def test_rows_are_lines_that_csv_readers_understand():
    file = io.StringIO()
    sheet = Sheet(file)
    sheet.row(["file", "n"])
    sheet.row(['a,"b"\n', 3])
    assert file.getvalue().count("\n") == 2
    assert list(csv.reader(io.StringIO(file.getvalue()))) == [["file", "n"], ['a,"b"\\n', "3"]]
