"""The frame of a report: one HTML page without network access and other files; report_source/ has its style."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from lenet.exports.page import SOURCE as EXPORTED
from lenet.exports.page import filled, source_text
from lenet.report.markup import escaped

SOURCE = Path(__file__).with_name("report_source")
REPORT = "report.html"  # its name in the folder that it is of
MADE_BY = '<meta name="generator" content="lenet report">'


def framed(
    title: str, what: str, sections: Sequence[str], *, style: Sequence[str] = (), data: str = "", script: str = "",
    after: str = "",
) -> bytes:  # fmt: skip
    """The HTML file.

    what: what the report is of, such as "Report of runs/0001"; sections: HTML
    style: CSS before that of all reports; data: HTML before the script; script: JavaScript besides that of all
    reports; after: HTML after the script
    """
    parts = {
        "MADE_BY": MADE_BY,
        "TITLE": escaped(title),
        "STYLE": "\n".join([source_text(EXPORTED / "base.css"), *style, source_text(SOURCE / "report.css")]),
        "WHAT": escaped(what),
        "LENET": escaped(version("lenet")),
        "SECTIONS": "\n".join(part for part in sections if part),
        "DATA": data,
        "SCRIPT": "\n".join([source_text(SOURCE / "page.js"), script]).strip(),
        "AFTER": after,
    }
    return filled(source_text(SOURCE / "report.html"), parts).encode("utf-8", "replace")
