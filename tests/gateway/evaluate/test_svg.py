"""Plots are well-formed, stay inside their frame and escape what they are told."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from gateway.evaluate.svg import HEIGHT, WIDTH, Axes, bar, dot, line, plot, thinned, upright

AXES = Axes("a < b & c", "x", "y", y_most=0.5)
VALUES = st.floats(-2, 2)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=20))
def test_every_mark_lies_inside_the_drawing(points: list[tuple[float, float]]) -> None:
    marks = [line(AXES, points, "curve"), *(dot(AXES, point, "here", told="<&>") for point in points)]
    drawing = plot(AXES, [*marks, bar(AXES, 0.2, 0.4, 0.3, "flag"), upright(AXES, 0.5, "limit")])
    root = ElementTree.fromstring(drawing)
    for found in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(found.attrib["cx"]) <= WIDTH
        assert 0 <= float(found.attrib["cy"]) <= HEIGHT
    for found in root.iter("{http://www.w3.org/2000/svg}polyline"):
        for x, y in re.findall(r"([-\d.]+),([-\d.]+)", found.attrib["points"]):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT


def test_titles_are_escaped() -> None:
    drawing = plot(AXES, [dot(AXES, (0, 0), "here", told="<script>")])
    assert "<script>" not in drawing
    root = ElementTree.fromstring(drawing)
    assert root.find("{http://www.w3.org/2000/svg}title").text == "a < b & c"  # type: ignore[union-attr]


def test_a_hundred_thousand_points_become_what_the_eye_can_tell() -> None:
    points = [(n / 1e5 * WIDTH, n / 1e5 * HEIGHT) for n in range(100_001)]
    kept = thinned(points)
    assert len(kept) < 1500
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert all(math.dist(a, b) < 1.5 for a, b in pairwise(kept))
    assert thinned([]) == []


def test_up_is_more() -> None:
    assert AXES.at((0.0, 0.5))[1] < AXES.at((0.0, 0.0))[1]
    assert AXES.at((1.0, 0.0))[0] > AXES.at((0.0, 0.0))[0]
