"""Look-alikes of ASCII, folded for the rules that look for characters."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from guards.views.folded import folded, variants

any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


@given(any_text)
@settings(deadline=None)
def test_folded_characters_know_where_they_stood(text: str) -> None:
    view = folded(text)

    for i, char in enumerate(view.text):
        start, end = view.raw(i, i + 1)
        assert 0 <= start < end <= len(text)
        raw = text[start:end]
        assert char == raw or (char.isascii() and char in unicodedata.normalize("NFKC", raw))


def test_text_without_anything_to_fold_is_not_copied() -> None:
    text = "Grüße aus Köln"

    assert folded(text).text is text
    assert folded(text).base is None


def test_a_span_across_removed_and_expanded_characters_maps_back() -> None:
    view = folded("x＜\u200bﬁ\u200b>y")

    assert view.text == "x<fi>y"
    assert view.raw(1, 5) == (1, 6)


def test_variants_are_all_characters_that_fold_to_one_of_these() -> None:
    assert set(">＞") <= set(variants(">"))
    assert "a" not in variants(">")
