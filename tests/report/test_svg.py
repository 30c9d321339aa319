"""Charts: round ticks, points within the axes, text that is escaped."""

import re
from xml.etree import ElementTree

import pytest

from lenet.report.svg import HEIGHT, LEFT, RIGHT, WIDTH, Axis, Dots, Line, axis_of, bars, chart, rows


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
