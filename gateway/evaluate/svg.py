"""Small plots as inline SVG: no script, no font, no resource from elsewhere; colours come from the page's style.

Both axes start at 0. Data is given in its own units; a curve of a hundred thousand points becomes the few hundred that
can be told apart on the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 340
HEIGHT: Final = 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 40
_TICKS: Final = 5
_PLAIN: Final = 1.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axes:
    """The frame of one plot."""

    title: str
    x: str
    y: str
    y_most: float = _PLAIN

    def at(self, point: Point) -> Point:
        """Where a point lies on the drawing; outside values are put on the edge."""
        x, y = (min(max(value, 0.0), most) / most for value, most in zip(point, (_PLAIN, self.y_most), strict=True))
        return _LEFT + x * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - y * (HEIGHT - _TOP - _BOTTOM)


def plot(axes: Axes, marks: Iterable[str]) -> str:
    """One drawing; `marks` are made by the functions below with the same axes."""
    inside = "".join(marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img"><title>{escape(axes.title)}</title>{_frame(axes)}{inside}</svg>'
    )


def _frame(axes: Axes) -> str:
    drawn = [_text(WIDTH / 2, 15, axes.title, "head", "middle")]
    for step in range(_TICKS + 1):
        part = step / _TICKS
        x, _ = axes.at((part, 0))
        _, y = axes.at((0, part * axes.y_most))
        left, bottom = axes.at((0, 0))
        right, top = axes.at((1, axes.y_most))
        drawn.append(f'<path class="grid" d="M{x:.1f} {bottom:.1f}V{top:.1f}M{left:.1f} {y:.1f}H{right:.1f}"/>')
        drawn.append(_text(x, bottom + 14, f"{part:.1f}", "tick", "middle"))
        drawn.append(_text(left - 6, y + 4, f"{part * axes.y_most:.2g}", "tick", "end"))
    drawn.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 6, axes.x, "tick", "middle"))
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    turned = f'transform="rotate(-90 12 {middle:.1f})"'
    drawn.append(_text(12, middle, axes.y, "tick", "middle", turned))
    return "".join(drawn)


def _text(x: float, y: float, text: str, kind: str, anchor: str, more: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(text)}</text>'


def line(axes: Axes, points: Sequence[Point], kind: str) -> str:
    """A curve through the points."""
    seen = thinned([axes.at(point) for point in points])
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in seen)}"/>' if seen else ""


def thinned(points: Iterable[Point]) -> list[Point]:
    """Without points that lie within half a pixel of the one before. First and last stay."""
    kept: list[Point] = []
    last: Point | None = None
    for last in points:
        if not kept or abs(last[0] - kept[-1][0]) + abs(last[1] - kept[-1][1]) >= 0.5:
            kept.append(last)
    if last is not None and kept[-1] != last:
        kept.append(last)
    return kept


def dot(axes: Axes, point: Point, kind: str, radius: float = 4.0, told: str = "") -> str:
    """A marked point, with what a pointer resting on it is told."""
    x, y = axes.at(point)
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{escape(told)}</title></circle>'


def bar(axes: Axes, left: float, right: float, height: float, kind: str) -> str:
    (x, y), (end, bottom) = axes.at((left, height)), axes.at((right, 0))
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0.0, end - x):.1f}" height="{bottom - y:.1f}"/>'


def upright(axes: Axes, x: float, kind: str, told: str = "") -> str:
    """A vertical line over the whole plot."""
    (at, bottom), (_, top) = axes.at((x, 0)), axes.at((x, axes.y_most))
    return f'<path class="{kind}" d="M{at:.1f} {bottom:.1f}V{top:.1f}"><title>{escape(told)}</title></path>'
