"""Tokens in an answer become what they stand for, however the answer is cut, and before anything is judged."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable

from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import AnswerEvent, Channel, Finish, TextDelta, TokenLogprob, ToolDelta, Usage
from gateway.restoring import PIECE, _Tokens, restored

ORIGINALS = {"[p:aa]": "Ann Lee", "[p:aab]": 'Bob "B" Roe', "[p:b]": "x\ny"}


async def source(events: Iterable[AnswerEvent]) -> AsyncGenerator[AnswerEvent]:
    for event in events:
        yield event


async def all_of(events: Iterable[AnswerEvent], originals: dict[str, str] = ORIGINALS) -> list[AnswerEvent]:
    return [event async for event in restored(source(events), originals)]


def text_of(events: Iterable[AnswerEvent], channel: Channel = Channel.CONTENT, choice: int = 0) -> str:
    return "".join(
        event.text for event in events
        if isinstance(event, TextDelta) and (event.channel, event.choice) == (channel, choice)
    )  # fmt: skip


def whole(text: str) -> str:
    for token in sorted(ORIGINALS, key=len, reverse=True):
        text = text.replace(token, ORIGINALS[token])
    return text


PIECES = st.lists(
    st.sampled_from([*ORIGINALS, "[p:", "[p:a", "a", "b", "]", "[", "plain ", "[p:zz]", "é"]), max_size=12
).map("".join)


@given(PIECES, st.lists(st.integers(1, 9), max_size=30))
async def test_the_same_comes_out_however_the_text_is_cut(text: str, cuts: list[int]) -> None:
    events: list[AnswerEvent] = []
    at = 0
    for cut in [*cuts, len(text)]:
        events.append(TextDelta(0, Channel.CONTENT, text[at : at + cut]))
        at += cut
    found = await all_of([*events, Finish(0, "stop")])
    assert text_of(found) == whole(text)
    assert isinstance(found[-1], Finish)


async def test_channels_choices_and_calls_are_kept_apart() -> None:
    events: list[AnswerEvent] = [
        TextDelta(0, Channel.CONTENT, "[p:"), TextDelta(1, Channel.CONTENT, "aa]"),
        TextDelta(0, Channel.REASONING, "b]"), TextDelta(0, Channel.CONTENT, "b]"),
        Finish(1, "stop"), Finish(0, "stop"), Usage({"total_tokens": 1}),
    ]  # fmt: skip
    found = await all_of(events)
    assert text_of(found) == "x\ny"
    assert text_of(found, choice=1) == "aa]"
    assert text_of(found, Channel.REASONING) == "b]"
    assert found[-1] == Usage({"total_tokens": 1})


async def test_arguments_of_a_call_stay_json() -> None:
    pieces = ['{"who": "[p:a', 'ab]", "note', '": "[p:b]"}']
    calls = [ToolDelta(0, 0, "c" if n == 0 else None, "f" if n == 0 else None, piece) for n, piece in enumerate(pieces)]
    found = await all_of([*calls, Finish(0, "tool_calls")])
    arguments = "".join(event.arguments for event in found if isinstance(event, ToolDelta))
    assert json.loads(arguments) == {"who": 'Bob "B" Roe', "note": "x\ny"}


async def test_what_was_no_token_leaves_at_the_end() -> None:
    events = [TextDelta(0, Channel.CONTENT, "so [p:a"), ToolDelta(0, 3, "c", "f", "[p:"), Finish(0, "stop")]
    found = await all_of(events)
    assert text_of(found) == "so [p:a"
    assert ToolDelta(0, 3, None, None, "[p:") in found


async def test_without_tokens_nothing_is_touched_and_with_them_no_logprob_is_left() -> None:
    event = TextDelta(0, Channel.CONTENT, "hi", (TokenLogprob(b"hi", -0.1),))
    assert await all_of([event], {}) == [event]
    assert await all_of([event]) == [TextDelta(0, Channel.CONTENT, "hi")]


async def test_a_page_that_is_asked_for_a_thousand_times_comes_in_pieces() -> None:
    page = "x" * 10_000
    events = [TextDelta(0, Channel.CONTENT, "[t]" * 1_000), ToolDelta(0, 0, "c", "f", "[t]" * 1_000), Finish(0, "stop")]
    sizes = []
    async for event in restored(source(events), {"[t]": page}):
        sizes.append(len(event.text) if isinstance(event, TextDelta) else 0)
        assert len(getattr(event, "arguments", "")) <= 2 * len(page) + PIECE
    assert sum(sizes) == 1_000 * len(page)
    assert max(sizes) <= 2 * len(page) + PIECE


def test_thousands_of_tokens_cost_a_search_and_not_a_walk() -> None:
    tokens = _Tokens({f"[p:{number:06}]": "x" for number in range(20_000)})
    assert tokens.begins("[p:01999")
    assert tokens.begins("")
    assert not tokens.begins("[p:02000x")
    assert not tokens.begins("z")
