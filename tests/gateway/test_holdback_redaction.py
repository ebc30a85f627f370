"""Secrets that no window and no hold-back holds whole: they leave redacted, or not at all, or the answer ends."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Channel, Finish, ReleasedText, TextDelta
from gateway.holdback import Holdback, Window
from policies.model import Redaction
from tests.gateway.test_holdback import rule

LONG_KEY = re.compile(r"key[a-z0-9]{4,}\.[a-z0-9]{4,}")
"""Known only once its dot and what follows has come, however far away that is."""


def long_keys(window: Window) -> list[Redaction]:
    return [
        Redaction(part.path, match.start(), match.end(), "[key]", "no-keys")
        for part in window.parts
        for match in LONG_KEY.finditer(part.text)
    ]


@given(
    st.lists(st.text("ab c.", max_size=30), min_size=1, max_size=4),
    st.lists(st.integers(4, 120), min_size=3, max_size=3),
    st.lists(st.integers(1, 25), min_size=1, max_size=80),
    st.integers(1, 40),
    st.integers(1, 30),
)
def test_a_secret_longer_than_the_holdback_leaves_redacted_or_not_at_all(
    around: list[str], sizes: list[int], cuts: list[int], window: int, holdback: int
) -> None:
    """Its windows see halves of it. What leaves is what redacting the whole text at once would have given."""
    whole = "".join(f"{text} key{'x' * size}.{'y' * size} " for text, size in zip(around, sizes, strict=False))
    held, released, at = Holdback(rule("window", window, holdback, whole_runs=True)), "", 0
    for cut in [*cuts, len(whole)]:
        held.feed(TextDelta(0, Channel.CONTENT, whole[at : at + cut]))
        at += cut
        if due := held.due():
            assert not held.comes_too_late(due, long_keys(due))
            released += "".join(r.text for r in held.release(due, {0: long_keys(due)}) if isinstance(r, ReleasedText))
            assert "xxx" not in released
    held.feed(Finish(0, "stop"))
    last = held.last()
    assert not held.comes_too_late(last, long_keys(last))
    released += "".join(r.text for r in held.release(last, {0: long_keys(last)}) if isinstance(r, ReleasedText))
    assert released == LONG_KEY.sub("[key]", whole)


def test_a_redaction_of_text_that_has_left_in_part_is_noticed() -> None:
    """Nothing can tell that a sentence is one to redact before its end. Then what is left of it does not leave."""
    held = Holdback(rule(window=10, holdback=5))
    held.feed(TextDelta(0, Channel.CONTENT, "begin of a long passage "))
    first = held.due()
    assert first is not None
    assert not held.comes_too_late(first, [])
    held.release(first, {0: []})
    held.feed(TextDelta(0, Channel.CONTENT, "and its end."))
    second = held.due()
    assert second is not None
    path = second.parts[0].path
    assert held.comes_too_late(second, [Redaction(path, 6, 36, "[x]", "r")])
    assert not held.comes_too_late(second, [Redaction(path, 2, 6, "[x]", "r")]), "the final window decides about that"
    assert not held.comes_too_late(second, [Redaction(path, 20, 36, "[x]", "r")]), "none of it has left"
    held.feed(Finish(0, "stop"))
    assert held.comes_too_late(held.last(), [Redaction(path, 2, 6, "[x]", "r")])


def test_a_span_that_left_as_its_replacement_is_no_leak_when_it_is_found_again() -> None:
    held = Holdback(rule(window=10, holdback=5))
    held.feed(TextDelta(0, Channel.CONTENT, "abc SECRET and more text"))
    first = held.due()
    assert first is not None
    cut = Redaction(first.parts[0].path, 4, 10, "[x]", "r")
    [text] = held.release(first, {0: [cut]})
    assert isinstance(text, ReleasedText)
    assert text.text == "abc [x] and more"
    held.feed(Finish(0, "stop"))
    last = held.last()
    assert not held.comes_too_late(last, [cut])
    longer = Redaction(cut.path, 4, 12, "[x]", "r")
    assert held.comes_too_late(last, [longer]), "two characters behind it have left as they are"


def test_judging_a_long_word_again_and_again_does_not_cost_its_square() -> None:
    held = Holdback(rule(window=10, holdback=5, whole_runs=True))
    judged = 0
    for _ in range(800):
        held.feed(TextDelta(0, Channel.CONTENT, "0123456789"))
        if due := held.due():
            judged += len(due.parts[0].text)
            assert held.release(due, {0: []}) == []
    assert judged < 8_000 * 8
    held.feed(TextDelta(0, Channel.CONTENT, "0123456789" * 400))
    due = held.due()
    assert due is not None
    assert held.release(due, {0: []}), "so long a word is data, not a secret"
