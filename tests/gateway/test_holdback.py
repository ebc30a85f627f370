"""No unjudged byte leaves: the invariants of the release policy, on any text, any chunks, any redactions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.exchange import (
    Channel,
    Ended,
    Finish,
    ReleasedCalls,
    ReleasedText,
    TextDelta,
    TokenLogprob,
    ToolDelta,
)
from gateway.holdback import Holdback, ReleaseRule, Window
from guards.verdict import Scope
from policies.model import Redaction

SECRET = "AKIA1234"
"""Eight characters that a rule of these tests redacts wherever it sees them whole."""


def rule(
    mode: str = "window", window: int = 10, holdback: int = 8, max_chars: int = 100_000, **more: bool
) -> ReleaseRule:
    return ReleaseRule(mode, window, holdback, max_chars, **more)


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
        assert not held.comes_too_late(window, found(window))
        released.extend(r.text for r in held.release(window, {0: found(window)}) if isinstance(r, ReleasedText))

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
            start, end = due.stretches[0].start, due.stretches[0].end
            assert due.parts[0].text == whole[start:end]
            assert due.parts[0].preceding == whole[:start]
            assert start <= len(released), "a gap that no window covers"
            judged_to = max(judged_to, end)
            released += "".join(r.text for r in held.release(due, {0: []}) if isinstance(r, ReleasedText))
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
    held = Holdback(rule("buffer"), 2)
    held.feed(TextDelta(0, Channel.CONTENT, "answer"))
    held.feed(TextDelta(0, Channel.REASONING, "thought"))
    held.feed(TextDelta(1, Channel.CONTENT, "other"))
    held.feed(Finish(0, "stop"))
    held.feed(Finish(1, "length"))
    window = held.last()
    assert {(part.scope, part.text) for part in window.parts} == {
        (Scope.OUTPUT, "answer"), (Scope.REASONING, "thought"), (Scope.OUTPUT, "other"),
    }  # fmt: skip
    ends = [r for r in held.release(window, {0: [], 1: []}) if isinstance(r, Ended)]
    assert ends == [Ended(0, "stop"), Ended(1, "length")]


@pytest.mark.parametrize("mode", ["buffer", "window", "shadow_only"])
def test_what_leaves_at_one_time_leaves_as_models_write_it_thoughts_first(mode: str) -> None:
    held = Holdback(rule(mode), 2)
    held.feed(TextDelta(1, Channel.CONTENT, "other"))
    held.feed(TextDelta(0, Channel.CONTENT, "answer"))
    held.feed(TextDelta(0, Channel.REASONING, "thought"))
    window = held.passing() if mode == "shadow_only" else None
    held.feed(Finish(0, "stop"))
    held.feed(Finish(1, "stop"))
    left = [r for r in held.release(window or held.last(), {0: [], 1: []}) if isinstance(r, ReleasedText)]
    assert [r.text for r in left] == ["thought", "answer", "other"]


def test_tool_calls_are_held_until_the_end_and_judged_by_name_and_arguments() -> None:
    held = Holdback(rule(window=1, holdback=0))
    held.feed(ToolDelta(0, 0, "call_1", "pay", '{"to": '))
    held.feed(ToolDelta(0, 0, None, None, f'"{SECRET}"}}'))
    assert held.due() is None
    held.feed(Finish(0, "tool_calls"))
    window = held.last()
    assert [part.text for part in window.parts] == ["pay", f'{{"to": "{SECRET}"}}']
    calls = [r for r in held.release(window, {0: found(window)}) if isinstance(r, ReleasedCalls)]
    assert calls[0].calls[0].arguments == '{"to": "[key]"}'


def test_tool_arguments_are_judged_and_released_without_escapes() -> None:
    held = Holdback(rule())
    held.feed(ToolDelta(0, 0, "c1", "look", '{"q":"\\u004'))
    held.feed(ToolDelta(0, 0, None, None, '1KIA1234"}'))
    held.feed(Finish(0, "tool_calls"))
    window = held.last()
    assert [part.text for part in window.parts] == ["look", '{"q":"AKIA1234"}']
    (calls,) = [r for r in held.release(window, {0: found(window)}) if isinstance(r, ReleasedCalls)]
    assert calls.calls[0].arguments == '{"q":"[key]"}'


def test_a_secret_as_the_name_of_a_tool_call_does_not_leave() -> None:
    held = Holdback(rule())
    held.feed(ToolDelta(0, 0, "c", SECRET, "{}"))
    held.feed(Finish(0, "tool_calls"))
    window = held.last()
    [calls] = [r for r in held.release(window, {0: found(window)}) if isinstance(r, ReleasedCalls)]
    assert calls.calls[0].name == "[key]"


def test_answers_that_do_not_fit_together_are_failures() -> None:
    held = Holdback(rule(max_chars=10))
    held.feed(Finish(0, "stop"))
    with pytest.raises(UpstreamFailed):
        held.feed(TextDelta(0, Channel.CONTENT, "after the end"))
    with pytest.raises(UpstreamFailed) as error:
        held.feed(TextDelta(1, Channel.CONTENT, "x" * 11))
    assert error.value.code == "answer_too_long"
    nameless = Holdback(rule())
    nameless.feed(ToolDelta(0, 0, "c", None, "{}"))
    with pytest.raises(UpstreamFailed):
        nameless.last()


# --- choices ---


def test_a_choice_that_was_blocked_is_dropped_and_the_other_one_is_not() -> None:
    held = Holdback(rule(window=5, holdback=0), 2)
    for choice in (0, 1):
        held.feed(TextDelta(choice, Channel.CONTENT, "abcdef"))
        held.feed(ToolDelta(choice, 0, "c", "f", "{}"))
    due = held.due()
    assert due is not None
    assert due.choices == (0, 1)
    assert [part.path for part in due.parts_of(1)] == ["/choices/1/message/content"]
    held.drop(0)
    assert [(r.choice, r.text) for r in held.release(due, {1: []}) if isinstance(r, ReleasedText)] == [(1, "abcdef")]
    held.feed(TextDelta(0, Channel.CONTENT, "more of it"))
    held.feed(Finish(1, "tool_calls"))
    assert (held.is_complete, held.open_choices) == (True, {1})
    last = held.last()
    assert {part.path.split("/")[2] for part in last.parts} == {"1"}
    assert [type(r) for r in held.release(last, {1: []})] == [ReleasedCalls, Ended]
    assert (held.received_chars, held.released_chars) == (26, 6)


@given(st.lists(st.tuples(st.integers(0, 2), st.text("ab", min_size=1, max_size=9)), max_size=60), st.integers(0, 2))
def test_interleaved_choices_do_not_mix_and_a_dropped_one_stays_dropped(
    pieces: list[tuple[int, str]], victim: int
) -> None:
    held, released = Holdback(rule(window=6, holdback=3), 3), ["", "", ""]
    whole = ["".join(text for choice, text in pieces if choice == own) for own in range(3)]

    def let_out(window: Window) -> None:
        for item in held.release(window, {choice: [] for choice in window.choices if choice in held.open_choices}):
            if isinstance(item, ReleasedText):
                released[item.choice] += item.text

    for number, (choice, text) in enumerate(pieces):
        held.feed(TextDelta(choice, Channel.CONTENT, text))
        if number == len(pieces) // 2:
            held.drop(victim)
            left = released[victim]
        if due := held.due():
            let_out(due)
    held.drop(victim)
    for choice in range(3):
        held.feed(Finish(choice, "stop"))
    let_out(held.last())
    for choice in range(3):
        assert released[choice] == whole[choice] if choice != victim else whole[choice].startswith(released[choice])
    if pieces:
        assert released[victim] == left


# --- log-probabilities ---


def drawn(text: str, size: int) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(text[at : at + size].encode(), -0.25) for at in range(0, len(text), size))


@given(PIECES, st.integers(1, 30), st.integers(8, 20), st.integers(1, 5))
def test_logprobs_leave_with_their_text_and_never_where_it_was_redacted(
    pieces: list[str], window: int, holdback: int, size: int
) -> None:
    held = Holdback(rule("window", window, holdback, logprobs=True))
    seen, tokens = "", b""

    def let_out(due: Window) -> None:
        nonlocal seen, tokens
        for item in held.release(due, {0: found(due)}):
            if isinstance(item, ReleasedText):
                seen += item.text
                tokens += b"".join(token.data for token in item.tokens)
                assert len(tokens) <= len(seen.replace("[key]", SECRET)), "a token is ahead of its text"

    for piece in pieces:
        held.feed(TextDelta(0, Channel.CONTENT, piece, drawn(piece, size)))
        if due := held.due():
            let_out(due)
    held.feed(Finish(0, "stop"))
    let_out(held.last())
    assert SECRET.encode() not in tokens
    if "[key]" not in seen:
        assert tokens.decode() == seen == "".join(pieces)


def test_without_being_asked_for_no_logprobs_are_kept() -> None:
    held = Holdback(rule("buffer"))
    held.feed(TextDelta(0, Channel.CONTENT, "fine", drawn("fine", 2)))
    held.feed(Finish(0, "stop"))
    [text, _] = held.release(held.last(), {0: []})
    assert isinstance(text, ReleasedText)
    assert text.tokens == ()


# --- time ---


def test_the_oldest_text_that_waits_is_known_until_it_was_judged_and_until_it_left() -> None:
    held = Holdback(rule(window=10, holdback=8))
    assert (held.unjudged_since(), held.unreleased_since()) == (None, None)
    held.feed(TextDelta(0, Channel.CONTENT, "0123456789"), 1.0)
    held.feed(TextDelta(0, Channel.REASONING, "01234"), 2.0)
    held.feed(TextDelta(0, Channel.CONTENT, "01234"), 3.0)
    assert (held.unjudged_since(), held.unreleased_since()) == (1.0, 1.0)
    due = held.due()
    assert due is not None
    held.release(due, {0: []})
    assert (held.unjudged_since(), held.unreleased_since()) == (2.0, 1.0)
    everything = held.overdue()
    assert everything is not None
    held.release(everything, {0: []})
    assert (held.unjudged_since(), held.unreleased_since()) == (None, None)
    assert held.overdue() is None
    assert held.released_chars == 20
