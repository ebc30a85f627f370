"""A drawing is well-formed, escapes what it is told, and keeps every point inside its frame."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bench.plot import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, chart

NUMBER = st.floats(1e-3, 1e9)


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=8))
def test_every_point_is_inside_the_frame(points: list[tuple[float, float]]) -> None:
    drawing = ElementTree.fromstring(chart("a < b", "x & y", "<z>", {"one": points, "two": points[:1]}))
    dots = [node for node in drawing.iter() if node.tag.endswith("circle")]
    assert len(dots) == len(points) + 1
    for dot in dots:
        assert LEFT - 0.1 <= float(dot.attrib["cx"]) <= WIDTH - RIGHT + 0.1
        assert TOP - 0.1 <= float(dot.attrib["cy"]) <= HEIGHT - BOTTOM + 0.1


def test_larger_is_further_right_and_higher() -> None:
    drawing = ElementTree.fromstring(chart("t", "x", "y", {"one": [(1, 10), (4, 100), (16, 1000)]}))
    dots = [node.attrib for node in drawing.iter() if node.tag.endswith("circle")]
    places = [(float(dot["cx"]), -float(dot["cy"])) for dot in dots]
    assert places == sorted(places)
    assert len(set(places)) == 3
