"""Words that tell of an identifier are one pattern, in any case."""

from __future__ import annotations

from guards.rules.base import compile_re2
from guards.rules.entity_shape import Shape, told_by


def test_words_are_alternatives_in_any_case() -> None:
    pattern = compile_re2(told_by("phone", r"tel\."))
    assert [match.group() for match in pattern.finditer("PHONE, Tel. and telx")] == ["PHONE", "Tel."]


def test_a_shape_needs_a_digit_unless_it_says_otherwise() -> None:
    assert (Shape("x", "y").needs, Shape("x", "y").near, Shape("x", "y").locales) == ("", "", ())
