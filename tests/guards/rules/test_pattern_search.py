"""Digits of every script are digits, at their raw places, and no pattern costs more for being looked for twice."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.rules.base import MAX_SPANS
from guards.rules.entities import EntitiesGuard
from guards.rules.near import NearGuard
from guards.rules.pattern_search import RAW, search
from guards.rules.regex import RegexGuard
from guards.verdict import Part, Scope, Span
from guards.views.folded import plain_digits

ZEROS = [code for code in range(sys.maxunicode + 1) if unicodedata.decimal(chr(code), None) == 0]
PAN = RegexGuard(r"\b(?:\d[ -]?){13,19}\b", "pan", check="luhn")
CVV = NearGuard(r"(?i)\bcvv\b", r"\b\d{3,4}\b", 24)
SCRIPTS = {"full-width": 0xFF10, "arabic": 0x660, "persian": 0x6F0, "devanagari": 0x966, "bold": 0x1D7CE,
           "double-struck": 0x1D7D8, "segmented": 0x1FBF0, "adlam": 0x1E950}  # fmt: skip


def written(text: str, zero: int) -> str:
    return "".join(chr(zero + int(char)) if char.isdecimal() else char for char in text)


@pytest.mark.parametrize("zero", SCRIPTS.values(), ids=SCRIPTS)
def test_cards_codes_and_social_numbers_in_other_digits_are_found_where_they_stand(zero: int) -> None:
    pan, cvv, ssn = (written(value, zero) for value in ("4111 1111 1111 1111", "123", "219-09-9999"))

    def found(guard: RegexGuard | NearGuard | EntitiesGuard) -> list[str]:
        text = f"é cvv {cvv}; " + "ordinary words " * 3 + f"{pan}, ssn {ssn}."
        [verdict] = guard.judge_now([Part(Scope.USER, "/m", "user", text)])
        return [text[span.start : span.end] for span in verdict.spans]

    assert found(PAN) == [pan]
    assert found(CVV) == [cvv]
    assert found(EntitiesGuard(["credit_card", "ssn"], ["en-US"])) == [pan, ssn]
    assert found(RegexGuard(r"\b(?:\d[ -]?){13,19}\b", "pan", ("raw", "normalised"), "luhn")) == [pan]


def test_every_decimal_digit_there_is_becomes_one_and_keeps_its_place() -> None:
    for zero in ZEROS:
        text = "".join(chr(zero + value) for value in range(10))
        assert plain_digits(f"a{text}b") == "a0123456789b", hex(zero)


@given(st.text())
def test_the_text_stays_as_long_as_it_was(text: str) -> None:
    plain = plain_digits(text)
    assert len(plain) == len(text)
    assert all(was == now or (now.isascii() and now.isdigit()) for was, now in zip(text, plain, strict=True))


def test_a_pattern_that_names_other_digits_finds_them() -> None:
    assert list(RegexGuard("[٠-٩]+").spans("a ٤٢")) == [Span(2, 4, "match")]


def test_near_looks_where_words_are_hidden_when_told_to() -> None:
    text = "c\u200bv\u200bv is 1\u200b23"
    assert list(CVV.spans(text)) == []
    hidden = NearGuard(r"(?i)\bcvv\b", r"\b\d{3,4}\b", 24, views=("raw", "normalised"))
    assert [text[span.start : span.end] for span in hidden.spans(text)] == ["1\u200b23"]
    assert hidden.known_after == float("inf")
    assert (hidden.settings["views"], "views" in CVV.settings) == (("raw", "normalised"), False)


@pytest.mark.parametrize("views", [RAW, ("raw", "normalised")])
def test_a_pattern_is_asked_for_no_more_finds_than_a_verdict_holds(views: tuple[str, ...]) -> None:
    """Each find of `a.*z|a` costs a pass over the text."""
    asked: list[int] = []

    def find(text: str) -> Iterator[Span]:
        for at in range(len(text)):
            asked.append(at)
            yield Span(at, at + 1, "match")

    text = "a٤" * 5_000
    spans = list(search("regex", text, views, find))
    assert len(asked) <= 4 * MAX_SPANS
    assert max(span.end for span in spans) == len(text)
