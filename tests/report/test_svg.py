"""Charts: round ticks, points within the axes, text that is escaped."""

import re
from xml.etree import ElementTree

import pytest

from lenet.report.svg import (
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Axis,
    Dots,
    Line,
    axis_of,
    bars,
    chart,
    intervals,
    lengths,
    rows,
)


@pytest.mark.parametrize(
    ("low", "high", "whole", "ticks"),
    [
        (0, 100, False, [0, 20, 40, 60, 80, 100]),
        (1, 5, True, [1, 2, 3, 4, 5]),
        (0, 2, True, [0, 1, 2]),
        (1, 20, True, [5, 10, 15, 20]),
        (0.93, 1.02, False, [0.94, 0.96, 0.98, 1.0, 1.02]),
    ],
)
def test_ticks_are_round(low, high, whole, ticks):
    assert Axis("", low, high, whole=whole).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-4, 1e-2, [1e-4, 1e-3, 1e-2]),
        (0.002, 0.06, [0.002, 0.005, 0.01, 0.02, 0.05]),
        (8, 64, [10, 20, 50]),
        (10, 100, [10, 100]),
        (3, 4, [3, 4]),
    ],
)
def test_logarithmic_ticks(low, high, ticks):
    found = Axis("", low, high, log=True).ticks()
    assert len(found) > 1
    assert set(ticks) <= {round(value, 12) for value in found}
    assert all(low * 0.999 <= value <= high * 1.001 for value in found)


def test_places_on_logarithmic_and_named_axes():
    axis = Axis("", 0.01, 1, log=True)
    assert [axis.at(value) for value in (0.001, 0.01, 0.1, 1, 2)] == pytest.approx([0, 0, 0.5, 1, 1])
    named = Axis("", -0.5, 1.5, names=("a < b", "x" * 99))
    texts = [one.text for one in svg_of(chart(named, Axis("", 0, 1), [Dots("best", [(1, 0.5)])], "")).iter("text")]
    assert "a < b" in texts
    assert any(text.endswith("x…") and len(text) < 40 for text in texts if text)


def test_the_axis_of_values():
    axis = axis_of("", [50.0, 99.9, float("inf")], most=100.0)
    assert axis.high == 100
    assert 45 < axis.low < 50
    assert axis_of("", []).high > axis_of("", []).low
    assert axis_of("", [7.0]).low < 7 < axis_of("", [7.0]).high


def svg_of(text):
    return ElementTree.fromstring(re.match(r"<svg.*?</svg>", text)[0])


def test_a_chart(recwarn):
    x, y = Axis("a < b", 1, 3, whole=True), Axis("y & z", 0, 1)
    line = Line("train", [(1, 0.0), (2, 9.0), (3, float("nan"))], "<training>")
    text = chart(x, y, [line, Dots("best", [(2, 0.5)], "best")], 'x "quoted"')
    svg = svg_of(text)
    assert svg.get("aria-label") == 'x "quoted"'
    points = [tuple(map(float, pair.split(","))) for pair in svg.find("polyline").get("points").split()]
    assert len(points) == 2
    assert all(LEFT <= across <= WIDTH - RIGHT and 0 <= down <= HEIGHT for across, down in points)
    assert [one.text for one in svg.iter("text")][-1] == "a < b"
    assert "&lt;training&gt;" in text


def test_one_point_is_a_dot():
    svg = svg_of(chart(Axis("", 0, 2), Axis("", 0, 1), [Line("train", [(1, 0.5)])], ""))
    assert svg.find("polyline") is None
    assert len(svg.findall("circle")) == 1


def test_bars_and_rows():
    svg = svg_of(bars(Axis("", 0, 2), Axis("", 0, 4), [0, 1, 2], [4, 2], "", 130))
    tall, low = (float(one.get("height")) for one in svg.iter("rect"))
    assert tall == pytest.approx(2 * low, abs=0.2)
    svg = svg_of(rows(Axis("", 0, 1), [("a", "val", [0.2, 0.4]), ("b", "test", [0.5])], ""))
    assert len(svg.findall("circle")) == 3


def test_lengths_and_intervals():
    svg = svg_of(lengths(Axis("", 0, 1), [("a", 0.2), ("b", 0.4)], ""))
    short, long = (float(one.get("width")) for one in svg.iter("rect"))
    assert long == pytest.approx(2 * short, abs=0.2)
    svg = svg_of(intervals(Axis("", -2, 2), [("a < b", "shown", 1, 0.5, 1.5), ("c", "open", 0, -1, 1)], "told"))
    ends = [tuple(map(float, pair.split(","))) for pair in svg.find("polyline").get("points").split()]
    dot, zero = float(svg.find("circle").get("cx")), float(svg.find("line[@class='axis']").get("x1"))
    assert zero < ends[0][0] < dot < ends[1][0]
    assert dot == pytest.approx((ends[0][0] + ends[1][0]) / 2, abs=0.1)
    assert svg.get("aria-label") == "told"
