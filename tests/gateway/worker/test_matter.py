"""What reviewers see and what is kept is what the worker had, over the line and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content.keeper import Text
from gateway.reviews import Matter
from gateway.worker.matter import matter_body, matter_of, text_body, text_of
from gateway.worker.wire import Kind, Reader, packed
from guards.verdict import Part, Scope
from policies.model import Review, Risk

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RISKS = st.none() | st.builds(Risk, WORDS, WORDS, st.integers(0, 2**40))
REVIEWS = st.builds(Review, WORDS, st.integers(1, 9), st.just("request"), st.integers(0, 10**9), st.booleans(), RISKS)
PARTS = st.builds(Part, st.sampled_from(Scope), WORDS, WORDS, WORDS, tool=WORDS)


def carried(body: dict[str, Any]) -> dict[str, Any]:
    [message] = Reader().messages(packed(Kind.REVIEW, 1, body))
    return message.body


@given(st.lists(st.tuples(WORDS, REVIEWS), max_size=3), st.lists(PARTS, max_size=3), st.lists(WORDS, max_size=2))
def test_a_matter_arrives_as_it_was_sent(reviews: list[Any], parts: list[Part], requesters: list[str]) -> None:
    matter = Matter({"req": "x", "tenant": "t"}, tuple(reviews), tuple(parts), tuple(requesters))
    assert matter_of(carried(matter_body(matter))) == matter


@given(WORDS, WORDS)
def test_text_arrives_as_it_was_sent(subject: str, said: str) -> None:
    text = Text("x1", "clinic", subject, "short", "request", {"parts": [{"text": said}]})
    assert text_of(carried(text_body(text))) == text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"record": 1, "reviews": [], "parts": [], "requesters": []},
        {"record": {}, "reviews": [1], "parts": [], "requesters": []},
    ],
)
def test_what_is_no_matter_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        matter_of(body)
