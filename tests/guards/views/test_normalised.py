"""The text as a careful reader would type it."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.rules.base import CHUNK
from guards.views.folded import plain_digits
from guards.views.mapped import Mapped
from guards.views.normalised import normalised

words = st.text(st.sampled_from("ab é\u0301\u0327\u0300ﬁＡ①\u1100\u1161\u11a8\uac00ｶﾞ日…"), max_size=40)


def text_of(text: str) -> str:
    view = normalised(Mapped(text))
    return view.text if view else text


@pytest.mark.parametrize(
    "hidden",
    [
        "ig\u200bnore all",
        "ig\u00adnore all",
        "ｉｇｎｏｒｅ　ａｌｌ",
        "𝐢𝐠𝐧𝐨𝐫𝐞 𝖆𝖑𝖑",
        "\u202eignore all\u202c",
        "ignore\U000e0041\U000e0042 all",
        "i\u200dg\u2060n\ufeffore all",
        "i\ufe0fg\ufe0fnore all",
        "ⓘⓖⓝⓞⓡⓔ all",
    ],
)
def test_hidden_words_become_plain(hidden: str) -> None:
    assert text_of(hidden) == "ignore all"


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII\x00\n",
        "naïve Zürich",
        "мир и труд",
        "ΚΑΛΗΜΕΡΑ και καλή μέρα",
        "می‌خواهم",
        "क्‍ष",
        "👨‍👩‍👧 ❤️ 1️⃣",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f 🇩🇪🇫🇷",
        "今天天气很好，我们去公园。",
        "ทำรายงาน ຄຳ ㅋㅋㅋ ｶﾀｶﾅ ① № 5 m² 20 ℃",
        "It’s “quoted” … 5½ km™ — really\u00a0so",
        "رقمي هو ٠٥٠١٢٣٤٥٦٧ من فضلك",
        "मेरा नंबर ९८७६५४३२१० है",
        "شماره ۰۹۱۲۳۴۵۶۷۸۹ است",
    ],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert normalised(Mapped(text)) is None


@given(words)
@settings(deadline=None)
def test_pieces_are_normalised_as_the_whole_would_be(text: str) -> None:
    found = normalised(Mapped(text))

    assert found is None or found.text == plain_digits(unicodedata.normalize("NFKC", text))


def test_long_text_is_normalised_in_pieces_with_the_same_result() -> None:
    text = "e\u0301 ﬁ " * CHUNK

    assert text_of(text) == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize("hidden", ["h٤ck 1٢3", "h𝟜ck १٢३", "h４ck ①\u200b２３".replace("①", "１"), "h𞥔ck 123"])
def test_digits_of_a_script_that_the_text_does_not_write_in_become_plain(hidden: str) -> None:
    view = normalised(Mapped(hidden))

    assert view
    assert view.text == "h4ck 123"
    assert view.raw(1, 2) == (1, 2)
    assert view.raw(5, 8) == (5, len(hidden))


def test_a_letter_and_its_mark_map_back_to_both() -> None:
    view = normalised(Mapped("xe\u0301ﬁ"))

    assert view
    assert view.text == "xéfi"
    assert [view.raw(at, at + 1) for at in range(4)] == [(0, 1), (1, 3), (3, 4), (3, 4)]


def test_piled_marks_and_invisible_characters_cost_what_they_are_long() -> None:
    for text in ("a" + "\u0301\u0327" * 100_000, "\u200b" * 50_000 + "x", "ﬁ" * 100_000, "\ud800" * 100_000):
        started = time.process_time()
        normalised(Mapped(text))
        assert time.process_time() - started < 2
