"""Charts as inline SVG. Their colours are CSS classes, so that they suit light and dark pages."""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lenet.characters import visible

WIDTH, HEIGHT = 420, 260  # of a chart, in user units
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 40  # its margins
_ROW = 34  # height of a row of `rows`, `lengths` and `intervals`
_LETTER = 6.5  # width of a letter of a label, about
Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`.

    whole: its values are whole numbers; log: logarithmic, `low` above 0
    names: of the values 0, 1, 2, ..., which are written in place of numbers
    """

    label: str
    low: float
    high: float
    whole: bool = False
    log: bool = False
    names: Sequence[str] = ()

    def ticks(self) -> list[float]:
        """About five round values; of a logarithmic axis powers of ten, or more if these are fewer than two."""
        if self.names:
            return [float(number) for number in range(len(self.names))]
        if self.log:
            return _log_ticks(self.low, self.high)
        step = _step((self.high - self.low) / 5)
        step = max(1.0, math.ceil(step)) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def at(self, value: float) -> float:
        """The value's place on the axis, 0 to 1; what lies beyond the axis is at its end."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        return min(1.0, max(0.0, (value - low) / (high - low)))


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


def axis_of(label: str, values: Sequence[float], *, most: float | None = None) -> Axis:
    """The axis of these values and a little more, but not beyond `most`. Values that are not finite do not count."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.05
    high = high + margin if most is None else min(high + margin, most)
    return Axis(label, max(0.0, low - margin), high)


def chart(x: Axis, y: Axis, drawn: Sequence[Line | Dots], description: str) -> str:
    """An SVG element with axes, grid and legend. description: what it shows, for those who do not see it."""
    parts = [*_grid(x, y, HEIGHT)]
    for one in drawn:
        places = [(_x(x, point[0]), _y(y, point[1], HEIGHT)) for point in one.points if all(map(math.isfinite, point))]
        if isinstance(one, Line) and len(places) > 1:
            line = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
            parts.append(f'<polyline class="{one.kind}" points="{line}"/>')
        if isinstance(one, Dots) or one.dots or len(places) == 1:
            parts += [
                f'<circle class="{one.kind}" cx="{across:.1f}" cy="{down:.1f}" r="3.5"/>' for across, down in places
            ]
    parts += _labels(x, y, HEIGHT)
    return _svg(parts, HEIGHT, description) + _legend(drawn)


def bars(x: Axis, y: Axis, edges: Sequence[float], heights: Sequence[float], description: str, height: int) -> str:
    """An SVG element with a bar between each two edges."""
    parts = [*_grid(x, y, height)]
    for begin, end, value in zip(edges[:-1], edges[1:], heights, strict=True):
        left, right, top = _x(x, begin), _x(x, end), _y(y, value, height)
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" '
            f'height="{height - BOTTOM - top:.1f}"/>'
        )
    parts += _labels(x, y, height)
    return _svg(parts, height, description)


def rows(x: Axis, groups: Sequence[tuple[str, str, Sequence[float]]], description: str) -> str:
    """An SVG element with a row of dots for each (name, CSS class, values), and a tick at their mean."""

    def marks(number: int, middle: int) -> list[str]:
        _, kind, values = groups[number]
        dots = [f'<circle class="{kind}" cx="{_x(x, value):.1f}" cy="{middle}" r="4"/>' for value in values]
        mean = _x(x, sum(values) / len(values))
        return [*dots, f'<line class="mean" x1="{mean:.1f}" x2="{mean:.1f}" y1="{middle - 9}" y2="{middle + 9}"/>']

    return _stacked(x, [name for name, _, _ in groups], marks, description)


def lengths(x: Axis, values: Sequence[tuple[str, float]], description: str) -> str:
    """An SVG element with a horizontal bar for each (name, value)."""

    def marks(number: int, middle: int) -> list[str]:
        left, right = _x(x, x.low), _x(x, values[number][1])
        return [f'<rect class="bar" x="{left:.1f}" y="{middle - 5}" width="{max(right - left, 1):.1f}" height="11"/>']

    return _stacked(x, [name for name, _ in values], marks, description)


def intervals(x: Axis, found: Sequence[tuple[str, str, float, float, float]], description: str) -> str:
    """An SVG element with a dot and a line for each (name, CSS class, value, low, high), and a line at zero."""

    def marks(number: int, middle: int) -> list[str]:
        _, kind, value, low, high = found[number]
        zero = f'<line class="axis" x1="{_x(x, 0):.1f}" x2="{_x(x, 0):.1f}" y1="{middle - 17}" y2="{middle + 17}"/>'
        points = f"{_x(x, low):.1f},{middle} {_x(x, high):.1f},{middle}"
        return [zero, f'<polyline class="{kind}" points="{points}"/>',
                f'<circle class="{kind}" cx="{_x(x, value):.1f}" cy="{middle}" r="4"/>']  # fmt: skip

    return _stacked(x, [name for name, *_ in found], marks, description)


def _stacked(x: Axis, names: Sequence[str], marks: Callable[[int, int], list[str]], description: str) -> str:
    """An SVG element with a row for each name. marks: what is in a row, by its number and its middle in user units."""
    height = TOP + BOTTOM + _ROW * len(names)
    parts = [f'<line class="grid" x1="{_x(x, t):.1f}" x2="{_x(x, t):.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
             for t in x.ticks()]  # fmt: skip
    for number, name in enumerate(names):
        middle = TOP + _ROW * number + 22
        shown = html.escape(_short(name, WIDTH - LEFT - RIGHT))
        parts.append(f'<text class="start" x="{LEFT}" y="{middle - 10}">{shown}</text>')
        parts += marks(number, middle)
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


def _labels(x: Axis, y: Axis, height: int) -> list[str]:
    bottom = height - BOTTOM
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
    """What is written at the ticks, escaped."""
    ticks = axis.ticks()
    if axis.names:
        return [html.escape(_short(name, (WIDTH - LEFT - RIGHT) / len(ticks))) for name in axis.names]
    if axis.log:
        return [f"{tick:g}" for tick in ticks]
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    return [f"{tick:.{digits}f}" for tick in ticks]


def _short(name: str, room: float) -> str:
    """The name, cut to the room in user units."""
    most = max(2, int(room / _LETTER))
    shown = visible(name)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, then also their double and fivefold, from `low` to `high`; at least the two ends."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [float(f"{factor}e{power}") for power in powers for factor in factors]
        inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) > 1:
            return inside
    return [low, high]


def _step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50, ... (or a tenth, a hundredth, ... of these) that is at least this."""
    power = 10 ** math.floor(math.log10(max(least, 1e-12)))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9)))


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float, height: int) -> float:
    return height - BOTTOM - axis.at(value) * (height - BOTTOM - TOP)
