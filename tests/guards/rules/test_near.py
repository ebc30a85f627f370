"""A value counts only with a term close by, and the span is the value's."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.options import Options
from guards.rules.near import MOST, OPTIONS, NearGuard
from guards.verdict import Span

CVV = NearGuard(r"(?i)\b(?:cvv|cvc|security code)\b", r"\b\d{3,4}\b", 24)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CVV: 123", ["123"]),
        ("123 is my security code", ["123"]),
        ("cvv 123 and cvc 4567", ["123", "4567"]),
        ("123 456", []),
        ("the cvv is a number" + " " * 40 + "123", []),
        ("123" + "." * 24 + "cvv", ["123"]),
        ("123" + "." * 25 + "cvv", []),
        ("😀 cvv é 999", ["999"]),
        ("\ud800 cvv 999", ["999"]),
        ("", []),
    ],
)
def test_a_value_counts_within_so_many_characters_on_either_side(text: str, found: list[str]) -> None:
    assert [text[span.start : span.end] for span in CVV.spans(text)] == found


def test_a_value_can_be_held_to_its_check_digits() -> None:
    guard = NearGuard("account", r"\b\d[\d ]{8,30}\d\b", 10, "iban", "luhn")
    assert list(guard.spans("account 79927398713, account 79927398714")) == [Span(8, 19, "iban")]


def test_what_a_stream_holds_back_reaches_over_a_term_behind_the_value() -> None:
    assert NearGuard("code", r"\d{3}", 24).known_after == 3 + 24 + 4


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"value": "a", "within": 1}, "term"),
        ({"term": "a", "within": 1}, "value"),
        ({"term": "a", "value": "b"}, "within"),
        ({"term": "a", "value": "b", "within": MOST + 1}, "within"),
        ({"term": "a.*z|a", "value": "b", "within": 1}, "term"),
        ({"term": "a", "value": "b+", "within": 1}, "value"),
        ({"term": "(", "value": "b", "within": 1}, "term"),
        ({"term": "a", "value": "b*", "within": 1}, "value"),
        ({"term": "a", "value": "b", "within": 1, "check": "sum"}, "check"),
        ({"term": "a", "value": "b", "within": 1, "label": ""}, "label"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(values: dict[str, object], option: str) -> None:
    with pytest.raises(GuardSetupError) as caught:
        NearGuard.of(Options("near", values, OPTIONS))
    assert caught.value.option == option


@pytest.mark.parametrize("text", ["cvv " * 25_000, "123 " * 25_000, "cvv 123 " * 12_500])
def test_many_terms_and_values_are_gone_through_side_by_side(text: str) -> None:
    assert sum(1 for _ in CVV.spans(text)) == (12_500 if "cvv 1" in text else 0)
