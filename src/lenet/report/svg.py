"""Charts as inline SVG. Their colours are CSS classes, so that they suit light and dark pages."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 260  # of a chart, in user units
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 40  # its margins
Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`. whole: its values are whole numbers; unit: follows the numbers at the ticks."""

    label: str
    low: float
    high: float
    whole: bool = False
    unit: str = ""

    def ticks(self) -> list[float]:
        """About five round values."""
        step = _step((self.high - self.low) / 5)
        step = max(1.0, math.ceil(step)) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def at(self, value: float) -> float:
        """The value's place on the axis, 0 to 1; what lies beyond the axis is at its end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True)
class Line:
    """A line through points; `kind` is its CSS class. label: in the legend; dots: the points are drawn too."""

    kind: str
    points: Sequence[Point]
    label: str = ""
    dots: bool = False


@dataclass(frozen=True)
class Dots:
    """Points without a line."""

    kind: str
    points: Sequence[Point]
    label: str = ""


def axis_of(label: str, values: Sequence[float], *, unit: str = "", most: float | None = None) -> Axis:
    """The axis of these values and a little more, but not beyond `most`. Values that are not finite do not count."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.05
    high = high + margin if most is None else min(high + margin, most)
    return Axis(label, max(0.0, low - margin), high, unit=unit)


def chart(x: Axis, y: Axis, drawn: Sequence[Line | Dots], description: str, *, height: int = HEIGHT) -> str:
    """An SVG element with axes, grid and legend. description: what it shows, for those who do not see it."""
    bottom = height - BOTTOM
    parts = [*_grid(x, y, height)]
    for one in drawn:
        places = [(_x(x, point[0]), _y(y, point[1], height)) for point in one.points if all(map(math.isfinite, point))]
        if isinstance(one, Line) and len(places) > 1:
            line = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
            parts.append(f'<polyline class="{one.kind}" points="{line}"/>')
        if isinstance(one, Dots) or one.dots or len(places) == 1:
            parts += [
                f'<circle class="{one.kind}" cx="{across:.1f}" cy="{down:.1f}" r="3.5"/>' for across, down in places
            ]
    parts += _labels(x, y, height, bottom)
    return _svg(parts, height, description) + _legend(drawn)


def bars(x: Axis, y: Axis, edges: Sequence[float], heights: Sequence[float], description: str, height: int) -> str:
    """An SVG element with a bar between each two edges."""
    parts = [*_grid(x, y, height)]
    for begin, end, value in zip(edges[:-1], edges[1:], heights, strict=True):
        left, right, top = _x(x, begin), _x(x, end), _y(y, value, height)
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" '
            f'height="{height - BOTTOM - top:.1f}"/>'
        )
    parts += _labels(x, y, height, height - BOTTOM)
    return _svg(parts, height, description)


def rows(x: Axis, groups: Sequence[tuple[str, str, Sequence[float]]], description: str) -> str:
    """An SVG element with a row of dots for each (name, CSS class, values), and a tick at their mean."""
    height = TOP + BOTTOM + 34 * len(groups)
    parts = [f'<line class="grid" x1="{_x(x, t):.1f}" x2="{_x(x, t):.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
             for t in x.ticks()]  # fmt: skip
    for number, (name, kind, values) in enumerate(groups):
        middle = TOP + 34 * number + 22
        parts.append(f'<text class="start" x="{LEFT}" y="{middle - 10}">{html.escape(name)}</text>')
        parts += [f'<circle class="{kind}" cx="{_x(x, value):.1f}" cy="{middle}" r="4"/>' for value in values]
        mean = _x(x, sum(values) / len(values))
        parts.append(f'<line class="mean" x1="{mean:.1f}" x2="{mean:.1f}" y1="{middle - 9}" y2="{middle + 9}"/>')
    parts += _x_labels(x, height)
    return _svg(parts, height, description)


def _svg(parts: Sequence[str], height: int, description: str) -> str:
    said = html.escape(description)
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{said}">{"".join(parts)}</svg>'


def _grid(x: Axis, y: Axis, height: int) -> list[str]:
    down = [f'<line class="grid" x1="{_x(x, tick):.1f}" x2="{_x(x, tick):.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
            for tick in x.ticks()]  # fmt: skip
    return down + [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(y, tick, height):.1f}" '
        f'y2="{_y(y, tick, height):.1f}"/>'
        for tick in y.ticks()
    ]


def _labels(x: Axis, y: Axis, height: int, bottom: int) -> list[str]:
    parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>']
    for tick, text in zip(y.ticks(), _numbers(y), strict=True):
        parts.append(f'<text class="end" x="{LEFT - 6}" y="{_y(y, tick, height) + 4:.1f}">{text}</text>')
    middle = (TOP + bottom) / 2
    turned = f'transform="rotate(-90 11 {middle:.0f})"'
    parts.append(f'<text class="name" x="11" y="{middle:.0f}" {turned}>{html.escape(y.label)}</text>')
    return parts + _x_labels(x, height)


def _x_labels(x: Axis, height: int) -> list[str]:
    parts = [
        f'<text x="{_x(x, tick):.1f}" y="{height - BOTTOM + 16}">{text}</text>'
        for tick, text in zip(x.ticks(), _numbers(x), strict=True)
    ]
    label = html.escape(x.label)
    return [*parts, f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{height - 5}">{label}</text>']


def _legend(drawn: Sequence[Line | Dots]) -> str:
    named = [one for one in drawn if one.label]
    if not named:
        return ""
    items = []
    for one in named:
        mark = '<circle class="{0}" cx="12" cy="6" r="3.5"/>' if isinstance(one, Dots) else (
            '<polyline class="{0}" points="1,6 23,6"/>'
        )  # fmt: skip
        picture = f'<svg class="mark" viewBox="0 0 24 12" aria-hidden="true">{mark.format(one.kind)}</svg>'
        items.append(f"<li>{picture}{html.escape(one.label)}</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'


def _numbers(axis: Axis) -> list[str]:
    ticks = axis.ticks()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    return [f"{tick:.{digits}f}{axis.unit}" for tick in ticks]


def _step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50, ... (or a tenth, a hundredth, ... of these) that is at least this."""
    power = 10 ** math.floor(math.log10(max(least, 1e-12)))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9)))


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float, height: int) -> float:
    return height - BOTTOM - axis.at(value) * (height - BOTTOM - TOP)
