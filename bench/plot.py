"""Line plots as SVG files that need nothing else: logarithmic axes, a legend, colours that do on white and on black."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 34, 46
COLOURS = ("#2f7ed8", "#d9822b", "#2e9e5b", "#a05cc0")
GREY = "#888888"
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """Powers of `base` between two bounds, onto pixels."""

    low: float
    high: float
    base: int
    begin: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], base: int, begin: float, end: float) -> Scale:
        """The whole powers around all values."""
        low, high = (turn(math.log(bound, base)) for turn, bound in ((_down, min(values)), (_up, max(values))))
        return cls(low, max(high, low + 1), base, begin, end)

    def at(self, value: float) -> float:
        share = (math.log(value, self.base) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def marks(self) -> list[float]:
        step = max(1, round((self.high - self.low) / 9))
        return [float(self.base) ** power for power in range(int(self.low), int(self.high) + 1, step)]


def chart(title: str, x: str, y: str, lines: Mapping[str, Sequence[Point]], bases: tuple[int, int] = (2, 10)) -> str:
    """One drawing; every line with a dot for each of its points, which a pointer is told the numbers of."""
    points = [point for line in lines.values() for point in line]
    across = Scale.over([one for one, _ in points], bases[0], LEFT, WIDTH - RIGHT)
    up = Scale.over([one for _, one in points], bases[1], HEIGHT - BOTTOM, TOP)
    parts = [_text(WIDTH / 2, 18, title, "middle", 14)]
    for value in across.marks():
        parts.append(_grid(across.at(value), TOP, across.at(value), HEIGHT - BOTTOM))
        parts.append(_text(across.at(value), HEIGHT - BOTTOM + 16, _short(value), "middle"))
    for value in up.marks():
        parts.append(_grid(LEFT, up.at(value), WIDTH - RIGHT, up.at(value)))
        parts.append(_text(LEFT - 6, up.at(value) + 4, _short(value), "end"))
    parts += [_text((LEFT + WIDTH) / 2, HEIGHT - 8, x, "middle"), _turned(16, HEIGHT / 2, y)]
    for at, (name, line) in enumerate(lines.items()):
        parts += _line(name, [(across.at(a), up.at(b)) for a, b in line], line, COLOURS[at % len(COLOURS)], at)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])


def _line(name: str, drawn: Sequence[Point], line: Sequence[Point], colour: str, at: int) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
    dots = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{a:g}: {b:.4g}</title></circle>'
        for (x, y), (a, b) in zip(drawn, line, strict=True)
    ]
    key = f'<rect x="{LEFT + 8}" y="{TOP + 6 + 16 * at}" width="10" height="10" fill="{colour}"/>'
    told = _text(LEFT + 24, TOP + 15 + 16 * at, name, "start")
    return [f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>', *dots, key, told]


def _text(x: float, y: float, text: str, anchor: str, size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{GREY}">{escape(text)}</text>'
    )


def _turned(x: float, y: float, text: str) -> str:
    place = f'transform="rotate(-90 {x:.0f} {y:.0f})"'
    return _text(x, y, text, "middle").replace("<text ", f"<text {place} ")


def _grid(x: float, y: float, x_end: float, y_end: float) -> str:
    return f'<path d="M{x:.1f} {y:.1f}L{x_end:.1f} {y_end:.1f}" stroke="{GREY}" stroke-opacity="0.3"/>'


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def _down(value: float) -> int:
    return math.floor(value + 1e-9)


def _up(value: float) -> int:
    return math.ceil(value - 1e-9)
