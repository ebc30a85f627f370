"""No unjudged byte leaves: the invariants of the release policy, on any text, any chunks, any redactions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.exchange import Channel, Ended, Finish, ReleasedCalls, ReleasedText, TextDelta, ToolDelta
from gateway.holdback import Holdback, ReleaseRule, Window, keeps_json, redacted
from guards.verdict import Scope
from policies.model import Redaction

SECRET = "AKIA1234"
"""Eight characters that a rule of these tests redacts wherever it sees them whole."""


def rule(mode: str = "window", window: int = 10, holdback: int = 8, max_chars: int = 100_000) -> ReleaseRule:
    return ReleaseRule(mode, window, holdback, max_chars)


def found(window: Window) -> list[Redaction]:
    """What a detector for SECRET would have redacted in this window."""
    cuts = []
    for part in window.parts:
        at = part.text.find(SECRET)
        while at >= 0:
            cuts.append(Redaction(part.path, at, at + len(SECRET), "[key]", "no-keys"))
            at = part.text.find(SECRET, at + len(SECRET))
    return cuts


def run(pieces: list[str], release_rule: ReleaseRule) -> tuple[str, list[str]]:
    """(what was released, the texts that were judged) for one choice fed piece by piece."""
    held, released, judged = Holdback(release_rule), [], []

    def let_out(window: Window) -> None:
        judged.extend(part.text for part in window.parts)
        released.extend(r.text for r in held.release(window, found(window)) if isinstance(r, ReleasedText))

    for piece in pieces:
        held.feed(TextDelta(0, Channel.CONTENT, piece))
        while window := held.due():
            let_out(window)
    held.feed(Finish(0, "stop"))
    let_out(held.last())
    return "".join(released), judged


PIECES = st.lists(st.text(alphabet="ab AKI1234", min_size=1, max_size=12), max_size=40)


@given(PIECES, st.integers(1, 30), st.integers(8, 20))
def test_all_text_leaves_in_order_with_exactly_the_secrets_replaced(
    pieces: list[str], window: int, holdback: int
) -> None:
    whole = "".join(pieces)
    for mode in ("window", "buffer"):
        released, _ = run(pieces, rule(mode, window, holdback))
        assert released == whole.replace(SECRET, "[key]")


@given(PIECES, st.integers(1, 30), st.integers(0, 20))
def test_nothing_leaves_before_it_was_inside_a_judged_window(pieces: list[str], window: int, holdback: int) -> None:
    """Watched from outside: after each step the released text is a prefix of what was judged so far."""
    held, released, judged_to = Holdback(rule("window", window, holdback)), "", 0
    whole = "".join(pieces)
    for piece in pieces:
        held.feed(TextDelta(0, Channel.CONTENT, piece))
        assert held.released_chars == len(released)
        while due := held.due():
            (_, _, start, end) = due.offsets[0]
            assert due.parts[0].text == whole[start:end]
            assert due.parts[0].preceding == whole[:start]
            assert start <= len(released), "a gap that no window covers"
            judged_to = max(judged_to, end)
            released += "".join(r.text for r in held.release(due, []) if isinstance(r, ReleasedText))
            assert len(released) <= judged_to - min(holdback, judged_to)
            assert whole.startswith(released)


@given(st.integers(0, 60), st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 20))
def test_a_secret_is_never_released_at_any_split_point(before: int, cuts: list[int], window: int) -> None:
    text = "x" * before + SECRET + "y" * 30
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(text[at : at + cut])
        at += cut
    pieces.append(text[at:])
    released, _ = run([p for p in pieces if p], rule("window", window, len(SECRET)))
    assert SECRET not in released
    assert released == text.replace(SECRET, "[key]")


def test_buffer_mode_judges_once_and_at_the_end() -> None:
    released, judged = run(["one ", "two ", "three"] * 30, rule("buffer"))
    assert judged == [released]


def test_waiting_long_enough_makes_any_text_due() -> None:
    held = Holdback(rule(window=100))
    held.feed(TextDelta(0, Channel.CONTENT, "short"))
    assert held.due() is None
    assert held.due(waited=True) is not None


def test_choices_and_channels_are_judged_apart() -> None:
    held = Holdback(rule("buffer"))
    held.feed(TextDelta(0, Channel.CONTENT, "answer"))
    held.feed(TextDelta(0, Channel.REASONING, "thought"))
    held.feed(TextDelta(1, Channel.CONTENT, "other"))
    held.feed(Finish(0, "stop"))
    held.feed(Finish(1, "length"))
    window = held.last()
    assert {(part.scope, part.text) for part in window.parts} == {
        (Scope.OUTPUT, "answer"), (Scope.REASONING, "thought"), (Scope.OUTPUT, "other"),
    }  # fmt: skip
    assert held.release(window, [])[-2:] == [Ended(0, "stop"), Ended(1, "length")]


def test_tool_calls_are_held_until_the_end_and_judged_by_name_and_arguments() -> None:
    held = Holdback(rule(window=1, holdback=0))
    held.feed(ToolDelta(0, 0, "call_1", "pay", '{"to": '))
    held.feed(ToolDelta(0, 0, None, None, f'"{SECRET}"}}'))
    assert held.due() is None
    held.feed(Finish(0, "tool_calls"))
    window = held.last()
    assert [part.text for part in window.parts] == ["pay", f'{{"to": "{SECRET}"}}']
    calls = [r for r in held.release(window, found(window)) if isinstance(r, ReleasedCalls)]
    assert calls[0].calls[0].arguments == '{"to": "[key]"}'


def test_tool_arguments_are_judged_and_released_without_escapes() -> None:
    held = Holdback(rule())
    held.feed(ToolDelta(0, 0, "c1", "look", '{"q":"\\u004'))
    held.feed(ToolDelta(0, 0, None, None, '1KIA1234"}'))
    window = held.last()
    assert [part.text for part in window.parts] == ["look", '{"q":"AKIA1234"}']
    (calls,) = [r for r in held.release(window, found(window)) if isinstance(r, ReleasedCalls)]
    assert calls.calls[0].arguments == '{"q":"[key]"}'


def test_a_secret_as_the_name_of_a_tool_call_does_not_leave() -> None:
    held = Holdback(rule())
    held.feed(ToolDelta(0, 0, "c", SECRET, "{}"))
    held.feed(Finish(0, "tool_calls"))
    window = held.last()
    [calls] = [r for r in held.release(window, found(window)) if isinstance(r, ReleasedCalls)]
    assert calls.calls[0].name == "[key]"


def test_a_redaction_that_would_break_arguments_is_noticed() -> None:
    held = Holdback(rule())
    held.feed(ToolDelta(0, 0, "c", "f", '{"a": 1}'))
    held.feed(Finish(0, "tool_calls"))
    window = held.last()
    arguments = window.parts[1].path
    assert keeps_json(window, [Redaction(arguments, 6, 7, "2", "r")])
    assert not keeps_json(window, [Redaction(arguments, 0, 3, "[x]", "r")])


def test_answers_that_do_not_fit_together_are_failures() -> None:
    held = Holdback(rule(max_chars=10))
    held.feed(Finish(0, "stop"))
    with pytest.raises(UpstreamFailed):
        held.feed(TextDelta(0, Channel.CONTENT, "after the end"))
    with pytest.raises(UpstreamFailed):
        held.feed(TextDelta(1, Channel.CONTENT, "x" * 11))
    nameless = Holdback(rule())
    nameless.feed(ToolDelta(0, 0, "c", None, "{}"))
    with pytest.raises(UpstreamFailed):
        nameless.last()


def test_redacted_replaces_spans_and_nothing_else() -> None:
    cuts = [Redaction("/p", 0, 1, "A", "r"), Redaction("/p", 2, 4, "", "r")]
    assert redacted("abcde", cuts) == "Abe"
