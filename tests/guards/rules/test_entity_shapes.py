"""Every shape can be compiled, is bounded where its check needs the whole of it, and is looked for where it says."""

from __future__ import annotations

import math

import pytest

from guards.rules.base import compile_re2
from guards.rules.entity_shape import Shape
from guards.rules.entity_shapes import CONFIGURABLE, LABELS, LOCALES, SHAPES, UNFINDABLE
from guards.rules.reach import longest, reach


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.label}-{'-'.join(shape.locales)}")
def test_a_shape_compiles_matches_no_empty_text_and_is_known_in_bounds(shape: Shape) -> None:
    assert compile_re2(shape.pattern).search("") is None
    assert set(shape.locales) <= set(LOCALES)
    if shape.label not in ("email", "url"):  # words, which a stream keeps whole
        assert (longest(shape.pattern) if shape.check else reach(shape.pattern)) < math.inf
    if shape.near:
        assert compile_re2(shape.near).search("") is None


def test_what_can_be_configured_is_found_by_a_word_beside_it() -> None:
    assert all(any(shape.near for shape in SHAPES if shape.label == label) for label in CONFIGURABLE)
    assert not set(UNFINDABLE) & set(LABELS)
