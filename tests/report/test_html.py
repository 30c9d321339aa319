"""The report's page: text from outside is escaped, sizes are bounded, and unusual results have a page too."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from lenet.report.contents import DataCard
from lenet.report.html import report_bytes

VOID = {"meta", "link", "img", "br", "input"}
OPTIONAL = {"td", "tr"}  # their end may be left out


class Page(HTMLParser):
    """Collects elements, and raises AssertionError where they are not nested."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.kinds, self.handlers = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.kinds.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID | OPTIONAL and tag not in ("polyline", "circle", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in OPTIONAL | {"polyline", "circle", "rect", "line"}:
            return
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.kinds.append(tag)


def page_of(contents):
    text = report_bytes(contents).decode("utf-8")
    return text, Page(text)


def tiles_of(text):
    return json.loads(re.search(r'id="mistakes">(.*?)</script>', text)[1])["tiles"]


def section(text, name):
    return re.search(rf'<section id="{name}".*?\n</section>', text, re.DOTALL)[0]


def test_names_are_text(contents):
    bad = ('<script>alert("1")</script>', "</style><b onload='x'>", "{{SCRIPT}}", "é\u2028\x1b[0m\udcff")
    data = DataCard(bad[0], bad[1], "</code>", licence=bad[1], citation=bad[0], homepage='"><i>', copies=bad[1])
    text, page = page_of(
        contents(
            bad, [0, 1, 2, 3], [1, 2, 3, 0], names=bad, data=data, path=bad[0], model=bad[1], command=bad[0],
            config=f"# {bad[0]}", versions={bad[1]: bad[0]}, missing={"live": bad[0], "copies": bad[1]},
        )
    )  # fmt: skip
    assert page.kinds.count("script") == 2
    assert page.handlers == []
    assert "i" not in page.kinds
    assert len(page.ids) == len(set(page.ids))
    assert "\x1b" not in text
    assert "alert(&quot;1&quot;)" in text
    assert [tile[3] for tile in tiles_of(text)][:3] == list(bad[:3])


def test_a_hundred_classes(contents):
    classes = tuple(f"class {number}" for number in range(100))
    labels = np.repeat(np.arange(100), 20)
    predicted = np.random.default_rng(0).integers(0, 100, 2000)
    text, page = page_of(contents(classes, labels, predicted, side=32, channels=3))
    assert len(text) < 5_000_000
    tiles = tiles_of(text)
    wrong = int((labels != predicted).sum())
    assert 300 < len(tiles) < wrong
    assert f"This page contains {len(tiles):,} of these {wrong:,} images" in text
    confusion = np.zeros((100, 100), int)
    np.add.at(confusion, (labels, predicted), 1)
    off = int((confusion > 0).sum() - (np.diag(confusion) > 0).sum())
    assert section(text, "confusion").count(" tabindex=-1") == off
    assert page.kinds.count("td") == 100 * 100 + 1 + 100 * 4


def test_many_classes_have_no_matrix(contents):
    classes = tuple(map(str, range(201)))
    text, _ = page_of(contents(classes, range(201), [1, *range(1, 201)]))
    assert 'class="matrix' not in text
    assert "201 classes are too many" in text
    assert "0 → 1 <b>1</b>" in text


def test_one_wrong_image(contents):
    text, _ = page_of(contents(("cat", "dog"), [0, 0, 1], [0, 0, 0]))
    assert "1 mistake among 3 test images." in text
    assert len(tiles_of(text)) == 1
    assert "dog → cat <b>1</b>" in text


def test_no_wrong_image(contents):
    text, _ = page_of(contents(("cat", "dog"), [0, 0, 1], [0, 0, 1]))
    assert "Every image was classified correctly." in text
    assert "There are none." in section(text, "confident")
    assert tiles_of(text) == []
    assert "background-image" not in text.split("</style>")[0]


def test_a_class_without_images(contents):
    text, _ = page_of(contents(("cat", "dog", "owl"), [0, 0, 1], [0, 1, 2]))
    assert re.search(r"owl</th><td>–</td><td>–</td><td>–</td><td>0</td>", text)


def test_several_networks(contents):
    text, _ = page_of(contents(("cat", "dog"), [0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1], best=1))
    assert "87.5% ± 17.7 (n = 2)" in section(text, "result")
    assert "1 (shown below)" in section(text, "seeds")
    assert "75.0% ± 35.4" in section(text, "per-class")


def test_one_network_has_an_interval_and_no_spread(contents):
    text, _ = page_of(contents(("cat", "dog"), [0, 0, 1, 1], [0, 0, 1, 0]))
    assert "75.0% (95%: 30.1 to 95.4)" in section(text, "result")
    assert "does not show how accuracy varies" in section(text, "seeds")


def test_what_is_missing_is_said(contents):
    reasons = {name: f"No {name}: for this reason." for name in ("scores", "mistakes", "calibration", "filters", "live",
                                                                 "curves", "copies")}  # fmt: skip
    text, _ = page_of(
        contents(("a", "b"), [0, 1], [1, 1], scores=[], mistakes=None, calibration=None, filters=None, rows=[],
                 missing=reasons, command="", config="")
    )  # fmt: skip
    for name in reasons:
        assert f"Left out. No {name}.</summary>for this reason." in text
    assert tiles_of(text) == []


def test_images_without_confidence(contents):
    made = contents(("a", "b"), [0, 1], [1, 0], missing={"live": "No weights: gone."})
    made.mistakes.predicted.confidence[:] = np.nan
    text, _ = page_of(made)
    assert [tile[2] for tile in tiles_of(text)] == [None, None]
    assert "Left out. No weights." in section(text, "confident")


@pytest.mark.parametrize("rows", [1, 2])
def test_a_network_that_diverged(contents, rows):
    made = contents(("a", "b"), [0, 1], [1, 0], [0, 1])
    nan = float("nan")
    failed = [type(made.rows[0])(5, epoch, "torch", nan, nan, nan, nan, 1.0, 0.1, 3, nan, nan) for epoch in (1,)]
    made = contents(
        ("a", "b"), [0, 1], [1, 0], [0, 1], rows=[*made.rows[:rows], *failed], result={**made.result, "failed": [5]}
    )
    text, _ = page_of(made)
    assert "1 of 3 networks diverged" in section(text, "result")
    assert "nan" not in section(text, "curves")
