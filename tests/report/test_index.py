"""The index of a folder of runs."""

import re
from datetime import datetime
from pathlib import Path

from lenet.report.index import index_page
from lenet.report.markup import Link, link_to
from lenet.runs.listing import Listed, Listing


def listed(name, **changes):
    values = {
        "path": Path("runs") / name, "kind": "run", "state": "finished", "data": "digits", "model": "lenet5",
        "epochs": 3, "done": 3, "seeds": 2, "val_accuracy": {"mean": 0.5, "sd": 0.1, "each": [0.4, 0.6]},
        "test_accuracy": {"mean": 0.25, "sd": 0.0, "each": [0.25, 0.25]}, "date": datetime(2026, 1, 2), "seconds": 65.0,
    }  # fmt: skip
    return Listed(**(values | changes))


def test_rows_links_and_damage():
    runs = [listed("0002", kind="search"), listed("0001", state="interrupted", done=1, test_accuracy=None)]
    listing = Listing(Path("runs"), runs, {"0003": "<b> is damaged"}, {"study": 4})
    links = {"0002": Link("0002", "0002/report.html"), "0001": "0001", "study": Link("study", "study/report.html")}
    text = index_page(listing, links).decode()
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    assert '<a href="0002/report.html">0002 (search)</a>' in rows[1]
    cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", rows[2])
    assert cells == ["0001", "digits", "lenet5", "1/3", "2", "50.0 ± 10.0", "interrupted", "2026-01-02", "1:05"]
    assert "1 run without a report" in text
    assert '<a href="study/report.html">study</a>' in text
    assert "&lt;b&gt; is damaged" in text


def test_a_link_is_relative_and_cannot_be_a_script(tmp_path):
    folder = tmp_path / "javascript:alert(1)" / "a b&\udcff"
    folder.mkdir(parents=True)
    assert link_to("x", folder / "report.html", tmp_path / "index.html") == "x"
    (folder / "report.html").touch()
    link = link_to("x", folder / "report.html", tmp_path / "index.html")
    assert link == Link("x", "javascript%3Aalert%281%29/a%20b%26%FF/report.html")
    assert link_to("x", folder / "report.html", tmp_path / "other" / "i.html").href.startswith("../javascript%3A")
