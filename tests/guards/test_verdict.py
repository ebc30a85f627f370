"""The shared values refuse what would not compare or replay."""

from __future__ import annotations

import pytest

from guards.errors import ErrorKind
from guards.verdict import PPM, Finding, Part, Scope, Span, Verdict

PART = Part(Scope.USER, "/messages/0/content", "user", "secret é")


def test_a_part_does_not_show_its_text_and_counts_utf_8() -> None:
    assert "secret" not in repr(PART)
    assert PART.bytes == 9


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 2), (3, 2)])
def test_a_span_is_inside_a_text_and_not_empty(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="span"):
        Span(start, end, "x")


@pytest.mark.parametrize(
    "values",
    [
        {"score_ppm": -1},
        {"score_ppm": PPM + 1},
        {"score_ppm": 0, "categories": (("S2", 0), ("S1", 0))},
        {"score_ppm": 0, "categories": (("S1", 0), ("S1", 0))},
        {"score_ppm": 0, "categories": (("S1", PPM + 1),)},
        {"score_ppm": 0, "spans": (Span(2, 3, "x"), Span(0, 1, "x"))},
    ],
)
def test_a_verdict_that_would_not_replay_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"score|categor|spans"):
        Verdict(**values)  # type: ignore[arg-type]


def test_a_finding_is_a_verdict_or_an_error_never_both_or_neither() -> None:
    assert Finding("d", PART, Verdict(0)).error is None
    assert Finding("d", PART, None, ErrorKind.TIMEOUT).verdict is None
    for verdict, error in ((None, None), (Verdict(0), ErrorKind.TIMEOUT)):
        with pytest.raises(ValueError, match="either"):
            Finding("d", PART, verdict, error)
