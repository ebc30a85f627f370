"""One channel: neither a span nor a long word leaves in halves, and what was found too late is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Channel
from gateway.held_text import LONGEST_RUN, HeldText, Stretch
from policies.model import Redaction


def held(*pieces: str) -> HeldText:
    text = HeldText()
    for piece in pieces:
        text.add(piece, 0.0, None)
    return text


def stretch(text: HeldText, start: int = 0) -> Stretch:
    return Stretch(0, Channel.CONTENT, "/p", start, text.length)


def cut(start: int, end: int) -> Redaction:
    return Redaction("/p", start, end, "[x]", "r")


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("ordinary words and more of them", "ordinary words and mor"),
        ("the key is eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0", "the key is "),
        ("https://user:Tr0ub4dor&3xTr0ub4dor&3x", ""),
        ("it ended: eyJhbGciOiJIUzI1NiJ9 here", "it ended: eyJhbGciOiJIUzI1"),
        ('{"a":"0123456789012345678901234567', '{"a":"'),
        ("日本語の文章には空白がありませんがこれは待たない", "日本語の文章には空白がありません"),
    ],
)
def test_a_long_word_without_an_end_is_kept_whole(text: str, leaves: str) -> None:
    one = held(text)
    until = one.limit(stretch(one), [], holds=9 if "日" not in text else 8, whole_runs=True)
    assert text[:until] == leaves
    assert one.limit(stretch(one), [], holds=9, whole_runs=False) == len(text) - 9


def test_a_word_that_is_too_long_for_a_secret_is_let_go() -> None:
    one = held("a" * (LONGEST_RUN + 1))
    assert one.limit(stretch(one), [], holds=10, whole_runs=True) == LONGEST_RUN - 9


def test_a_span_that_still_grows_is_kept_whole() -> None:
    one = held("abc SECRET SECRET")
    assert one.limit(stretch(one), [cut(4, 17)], holds=5, whole_runs=False) == 4
    assert one.limit(stretch(one), [cut(4, 10)], holds=5, whole_runs=False) == 12
    assert one.reluctance == 0


@given(st.integers(0, 40), st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5), st.integers(0, 20))
def test_released_text_is_the_text_without_its_spans(until: int, spans: list[tuple[int, int]], second: int) -> None:
    whole = "".join(chr(ord("a") + i % 26) for i in range(80))
    cuts: list[Redaction] = []
    for start, size in sorted(spans):
        if not cuts or start >= cuts[-1].end:
            cuts.append(cut(start, start + size))
    one = held(whole)
    out = one.release(stretch(one), cuts, until)[0]
    out += one.release(stretch(one), cuts, max(one.released, until + second))[0]
    out += one.release(stretch(one), cuts, len(whole))[0]
    expected, at = "", 0
    for each in cuts:
        expected += whole[at : each.start] + "[x]"
        at = each.end
    assert out == expected + whole[at:]
    assert one.released == len(whole)
    assert not any(one.has_leaked(each, 0, final=True) for each in cuts)


def test_a_span_at_the_edge_of_its_context_is_no_leak() -> None:
    """Its part begins in the middle of the text: what stands there may be the rest of something else."""
    one = held("0123456789" * 5)
    one.release(stretch(one), [], 30)
    assert not one.has_leaked(cut(0, 15), 20, final=False)
    assert one.has_leaked(cut(1, 15), 20, final=False)
    assert one.has_leaked(cut(0, 35), 0, final=False)


def test_text_that_left_is_no_longer_waited_for() -> None:
    one = HeldText()
    for at in range(5):
        one.add("0123456789", float(at), None)
    one.add("more at the same time", 4.0, None)
    assert (one.unjudged_since(), one.unreleased_since()) == (0.0, 0.0)
    one.release(Stretch(0, Channel.CONTENT, "/p", 0, 40), [], 25)
    assert (one.unjudged_since(), one.unreleased_since()) == (4.0, 2.0)
    one.release(stretch(one), [], one.length)
    assert (one.unjudged_since(), one.unreleased_since()) == (None, None)
