"""The forms of a text in which hidden words become plain."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.rules.base import CHUNK
from guards.views import folded, normalised

any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


@pytest.mark.parametrize(
    "hidden",
    [
        "ig\u200bnore all",
        "ig\u00adnore all",
        "ｉｇｎｏｒｅ　ａｌｌ",
        "𝐢𝐠𝐧𝐨𝐫𝐞 𝖆𝖑𝖑",
        "\u202eignore all\u202c",
        "ignore\U000e0041\U000e0042 all",
        "ignorе аll",
        "ignοre all",
        "i\u200dg\u2060n\ufeffore all",
    ],
)
def test_hidden_words_become_plain(hidden: str) -> None:
    assert normalised(hidden) == "ignore all"


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII\x00\n",
        "naïve Zürich",
        "мир и труд",
        "ΚΑΛΗΜΕΡΑ και καλή μέρα",
        "می‌خواهم",
        "क्‍ष",
        "👨‍👩‍👧 ❤️",
        "日本語",
    ],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert normalised(text) == text


def test_long_text_is_normalised_in_pieces_with_the_same_result() -> None:
    text = "e\u0301 ﬁ " * CHUNK + "\u1100\u1161" * CHUNK

    whole = unicodedata.normalize("NFKC", text)
    assert normalised(text[: 5 * CHUNK]) == whole[: len(unicodedata.normalize("NFKC", text[: 5 * CHUNK]))]
    assert set(normalised(text)) <= {*whole, "\u1100", "\u1161"}


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
    assert folded(text).origin is None


def test_a_span_across_removed_and_expanded_characters_maps_back() -> None:
    view = folded("x＜\u200bﬁ\u200b>y")

    assert view.text == "x<fi>y"
    assert view.raw(1, 5) == (1, 6)


@given(any_text)
@settings(deadline=None)
def test_views_never_raise(text: str) -> None:
    assert isinstance(normalised(text), str)
