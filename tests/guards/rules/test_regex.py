"""The policy's own pattern."""

from __future__ import annotations

import base64

import pytest

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.options import VIEWS
from guards.rules.pattern_search import INLINE_VIEWED, MAX_VIEWED
from guards.rules.regex import MAX_PATTERN, RegexGuard
from guards.verdict import Part, Scope, Span


def test_every_match_is_a_span_in_characters() -> None:
    guard = RegexGuard(r"(?i)\b\d+\s?mg\b", "dose")

    assert list(guard.spans("😀é 5 mg, 𝒳 10MG")) == [Span(3, 7, "dose"), Span(11, 15, "dose")]


@pytest.mark.parametrize("pattern", ["(a", r"(a)\1", "a(?=b)", "", "x" * (MAX_PATTERN + 1), "a*", "\ud800", "a{2000}"])
def test_a_pattern_that_re2_refuses_or_that_matches_nothing_at_all_is_refused(
    pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(GuardSetupError) as caught:
        RegexGuard(pattern)

    assert caught.value.option == "pattern"
    assert capfd.readouterr().err == ""


def test_an_empty_label_is_refused() -> None:
    with pytest.raises(GuardSetupError, match="label"):
        RegexGuard("a", "")


def test_matches_without_characters_are_no_spans() -> None:
    assert list(RegexGuard(r"\b|zz").spans("a zz")) == []


def test_a_pattern_that_backtracks_elsewhere_is_linear_here() -> None:
    assert list(RegexGuard(r"(a+)+$").spans("a" * 100_000 + "b")) == []


@pytest.mark.parametrize(
    "hidden",
    [
        "ignore all",
        "ig\u200bnore all",
        "ignоre аll",
        "i g n o r e  a l l",
        "1gn0r3 4ll",
        "ignore%20all",
        "aWdub3JlIGFsbCBvZiBpdA==",
    ],
)
def test_a_match_in_a_view_points_at_the_raw_characters(hidden: str) -> None:
    guard = RegexGuard("(?i)ignore +all", views=VIEWS)
    text = f"please {hidden}, now"

    (span,) = guard.spans(text)

    assert (span.start, span.end) == (7, 7 + len(hidden))
    assert list(RegexGuard("(?i)ignore +all").spans(text)) == ([span] if hidden == "ignore all" else [])


def test_text_that_has_no_complete_views_is_an_error() -> None:
    guard = RegexGuard("attack", views=VIEWS)
    nested = "attack them all at once"
    for _ in range(6):
        nested = base64.b64encode(nested.encode()).decode()

    for text in (nested, "a" * (MAX_VIEWED + 1)):
        with pytest.raises(GuardError) as caught:
            list(guard.spans(text))
        assert caught.value.kind is ErrorKind.TOO_LONG
    assert list(RegexGuard("attack").spans("a" * (MAX_VIEWED + 1))) == []


def test_views_of_long_text_are_not_made_on_the_event_loop() -> None:
    parts = [Part(Scope.USER, "/messages/0/content", "user", "a" * (INLINE_VIEWED + 1))]

    assert RegexGuard("b").is_quick(parts)
    assert not RegexGuard("b", views=VIEWS).is_quick(parts)


def test_a_match_counts_only_where_its_check_holds() -> None:
    guard = RegexGuard(r"\b(?:\d[ -]?){13,19}\b", "pan", check="luhn")
    assert list(guard.spans("4111 1111 1111 1111, 4111 1111 1111 1112")) == [Span(0, 19, "pan")]
    with pytest.raises(GuardSetupError, match="expected one of luhn") as caught:
        RegexGuard("a", check="mod7")
    assert caught.value.option == "check"


def test_groups_of_a_match_count_only_if_they_are_a_match_themselves() -> None:
    guard = RegexGuard(r"\b\d(?:[ -]?\d){12,18}\b", "pan", check="luhn")
    assert list(guard.spans("Reference 7640 2067 9701 6877 in the ledger")) == []
    assert [(span.start, span.end) for span in guard.spans("12 4111 1111 1111 1111")] == [(3, 22)]


def test_a_check_needs_matches_with_a_longest_form() -> None:
    with pytest.raises(GuardSetupError, match="a match may be of any length") as caught:
        RegexGuard(r"\d.*\d|\d", check="luhn")
    assert caught.value.option == "pattern"
