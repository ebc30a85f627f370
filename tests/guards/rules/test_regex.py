"""The policy's own pattern."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.rules.regex import MAX_PATTERN, RegexGuard
from guards.verdict import Span


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
