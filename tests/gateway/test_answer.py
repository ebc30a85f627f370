"""What a model server says becomes judged events, or the answer has failed. Nothing in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answer import MAX_COUNT, read_chunk, read_unary
from gateway.errors import GatewayError, UpstreamFailed
from gateway.exchange import AnswerEvent, Channel, Finish, TextDelta, TokenLogprob, ToolDelta, Usage

CANARY = "canary-of-the-model"
CALL = {"id": "c1", "type": "function", "function": {"name": "run", "arguments": '{"a": 1}'}}


def choice(index: int = 0, reason: Any = "stop", **message: Any) -> dict[str, Any]:
    return {"index": index, "message": {"role": "assistant"} | message, "finish_reason": reason}


def unary(*choices: Any, n: int = 1, **more: Any) -> list[AnswerEvent]:
    return list(read_unary(json.dumps({"choices": list(choices)} | more).encode(), n))


def chunk(n: int = 1, reason: Any = None, index: int = 0, **delta: Any) -> list[AnswerEvent]:
    row = {"index": index, "delta": delta, "finish_reason": reason}
    return list(read_chunk(json.dumps({"choices": [row]}), n))


def test_all_text_channels_tool_calls_and_counts_become_events() -> None:
    message = {"content": "C", "reasoning_content": "R", "refusal": "N", "tool_calls": [CALL]}
    events = unary(choice(reason="tool_calls", **message), usage={"prompt_tokens": 1, "total_tokens": 2})
    assert events == [
        TextDelta(0, Channel.CONTENT, "C"),
        TextDelta(0, Channel.REASONING, "R"),
        TextDelta(0, Channel.REFUSAL, "N"),
        ToolDelta(0, 0, "c1", "run", '{"a": 1}'),
        Finish(0, "tool_calls"),
        Usage({"prompt_tokens": 1, "total_tokens": 2}),
    ]


def test_fields_that_nobody_judges_are_left_behind() -> None:
    events = unary(
        choice(content="fine", annotations=[CANARY], vendor=CANARY) | {"logprobs": {"content": [CANARY]}},
        id=CANARY, model=CANARY, system_fingerprint=CANARY, usage={"total_tokens": 1, "note": CANARY},
    )  # fmt: skip
    assert CANARY not in "".join(map(repr, events))
    assert events[0] == TextDelta(0, Channel.CONTENT, "fine")


def test_drawn_tokens_come_with_their_text_and_alternatives_stay_behind() -> None:
    row = {"token": "C", "logprob": -0.5, "bytes": [67], "top_logprobs": [{"token": CANARY, "logprob": -1.0}]}
    [text, finish] = unary(choice(content="C") | {"logprobs": {"content": [row], "refusal": None}})
    assert text == TextDelta(0, Channel.CONTENT, "C", (TokenLogprob(b"C", -0.5),))
    assert finish == Finish(0, "stop")
    piece = {"index": 0, "delta": {"content": "D"}, "finish_reason": None, "logprobs": {"content": [row]}}
    assert list(read_chunk(json.dumps({"choices": [piece]}), 1)) == [
        TextDelta(0, Channel.CONTENT, "D", (TokenLogprob(b"C", -0.5),))
    ]
    early = piece | {"delta": {}}
    assert list(read_chunk(json.dumps({"choices": [early]}), 1)) == [
        TextDelta(0, Channel.CONTENT, "", (TokenLogprob(b"C", -0.5),))
    ], "a token whose text comes later"
    refused = unary(choice(refusal="N") | {"logprobs": {"content": None, "refusal": [row]}})[0]
    assert isinstance(refused, TextDelta)
    assert (refused.channel, len(refused.tokens)) == (Channel.REFUSAL, 1)


@pytest.mark.parametrize(
    "row",
    [
        7, None, "a", [], {}, {"token": "a"}, {"token": "a", "logprob": "0"}, {"token": "a", "logprob": True},
        {"token": "a", "logprob": 0.5}, {"token": "a", "logprob": -1e300}, {"token": 7, "logprob": -1},
        {"token": "a", "logprob": -1, "bytes": [256]}, {"token": "a", "logprob": -1, "bytes": [True]},
        {"token": "a", "logprob": -1, "bytes": ["a"]},
    ],
)  # fmt: skip
def test_what_is_no_token_is_left_out_and_its_text_is_not(row: Any) -> None:
    good = {"token": "b", "logprob": -1, "bytes": None}
    [text, _] = unary(choice(content="ab") | {"logprobs": {"content": [row, good]}})
    assert text == TextDelta(0, Channel.CONTENT, "ab", (TokenLogprob(b"b", -1.0),))
    for shape in (7, [], "x", {"content": row if not isinstance(row, list) else 1}):
        assert unary(choice(content="ab") | {"logprobs": shape})[0] == TextDelta(0, Channel.CONTENT, "ab")


SAYS = {"role": "assistant", "content": "fine"}
NOTHING = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}


@pytest.mark.parametrize(
    ("pieces", "thought"),
    [
        (  # vLLM
            [{"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None},
             {"delta": {"reasoning": "hm"}, "finish_reason": None, "token_ids": None}, {"delta": {"content": "fine"}},
             {"delta": {"content": ""}, "finish_reason": "stop", "stop_reason": 128009}],
            "hm",
        ),
        (  # SGLang
            [{"delta": NOTHING | {"role": "assistant", "content": ""}, "matched_stop": None},
             {"delta": NOTHING | {"content": "fine"}, "finish_reason": None},
             {"delta": NOTHING, "finish_reason": "stop", "matched_stop": 128009}],
            "",
        ),
        (  # llama.cpp
            [{"delta": {"role": "assistant", "content": None}, "finish_reason": None}, {"delta": {"content": "fine"}},
             {"delta": {}, "finish_reason": "stop"}],
            "",
        ),
        (  # Ollama
            [{"delta": SAYS, "finish_reason": None}, {"delta": SAYS | {"content": ""}, "finish_reason": "stop"}],
            "",
        ),
        ([{"delta": SAYS | {"tool_call_id": None}, "finish_reason": "stop_sequence"}], ""),  # text-generation-inference
        (  # DeepSeek
            [{"delta": {"content": None, "reasoning_content": ""}},
             {"delta": {"content": None, "reasoning_content": "hm"}},
             {"delta": SAYS | {"reasoning_content": None}}, {"delta": {"content": ""}, "finish_reason": "stop"}],
            "hm",
        ),
        ([{"delta": SAYS, "content_filter_results": {}}, {"delta": {}, "finish_reason": "stop"}], ""),  # Azure
    ],
)  # fmt: skip
def test_streams_of_known_servers_say_the_same(pieces: list[dict[str, Any]], thought: str) -> None:
    said = [event for piece in pieces for event in read_chunk(json.dumps({"choices": [{"index": 0} | piece]}), 1)]
    texts = {channel: "" for channel in (Channel.CONTENT, Channel.REASONING)}
    for event in said:
        if isinstance(event, TextDelta):
            texts[event.channel] += event.text
    assert texts == {Channel.CONTENT: "fine", Channel.REASONING: thought}
    assert said[-1] == Finish(0, "stop")


def test_a_call_that_is_told_in_the_old_form_too_is_taken_once() -> None:
    """As llama-cpp-python does; what was in the old form goes nowhere."""
    old = {"name": CANARY, "arguments": CANARY}
    events = unary(choice(content=None, tool_calls=[CALL], function_call=old, reason="tool_calls"))
    assert events == unary(choice(content=None, tool_calls=[CALL], reason="tool_calls"))
    piece = {"index": 0, "delta": {"tool_calls": [CALL | {"index": 0}], "function_call": old}, "finish_reason": None}
    [call] = read_chunk(json.dumps({"choices": [piece]}), 1)
    assert isinstance(call, ToolDelta)
    assert CANARY not in repr(call)


@pytest.mark.parametrize("choices", [None, [], [{"index": 0, "delta": {}, "finish_reason": ""}]])
def test_a_piece_may_say_that_there_is_nothing(choices: Any) -> None:
    assert list(read_chunk(json.dumps({"choices": choices, "usage": {"total_tokens": 4}}), 1)) == [
        Usage({"total_tokens": 4})
    ]


def test_a_certain_token_may_be_rounded_to_more_than_certain() -> None:
    row = {"token": "b", "logprob": 1.2e-7, "bytes": [98]}
    [text, _] = unary(choice(content="b") | {"logprobs": {"content": [row]}})
    assert text == TextDelta(0, Channel.CONTENT, "b", (TokenLogprob(b"b", 0.0),))


@pytest.mark.parametrize("reason", ["stop", "stop_sequence", "eos_token"])
def test_an_end_at_a_stop_string_is_a_stop_under_every_servers_name(reason: str) -> None:
    assert unary(choice(content="b", reason=reason))[-1] == Finish(0, "stop")
    piece = {"index": 0, "delta": {}, "finish_reason": reason}
    assert list(read_chunk(json.dumps({"choices": [piece]}), 1)) == [Finish(0, "stop")]


def test_reasoning_under_two_names_is_taken_once_if_equal_and_twice_if_not() -> None:
    """Some servers send both names for one text. Two different texts are both judged."""
    same = unary(choice(reasoning_content="thought", reasoning="thought"))
    assert [event.text for event in same if isinstance(event, TextDelta)] == ["thought"]
    two = unary(choice(reasoning_content="thought", reasoning="hidden"))
    assert [event.text for event in two if isinstance(event, TextDelta)] == ["thought", "hidden"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b'{"choices": {}}', b'{"choices": []}', b"\xff", b'{"choices": [1]}', b"[" * 100,
        b'{"error": {"message": "canary-of-the-model"}}',
        b'{"choices": [{"index": 0, "index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]}',
    ],
)  # fmt: skip
def test_bodies_of_another_shape_are_failures(body: bytes) -> None:
    with pytest.raises(UpstreamFailed) as error:
        list(read_unary(body, 1))
    assert error.value.code == "upstream_bad_answer"
    assert CANARY not in str(error.value)


@pytest.mark.parametrize(
    "row",
    [
        choice(role="user", content=CANARY), choice(content=[{"text": CANARY}]), choice(content=5),
        choice(refusal={"t": CANARY}), choice(function_call={"name": CANARY}), choice(audio={"data": CANARY}),
        choice(reason=None), choice(reason=CANARY), choice(reason=["stop"]), choice(index=1), choice(index=True),
        choice(index=-1), choice(tool_calls={"a": 1}), choice(tool_calls=[CANARY]),
        {"index": 0, "finish_reason": "stop"},
        choice(tool_calls=[{"function": {"arguments": {"a": CANARY}}}]), choice(tool_calls=[CALL | {"type": "custom"}]),
        choice(tool_calls=[CALL | {"id": "an id with spaces is a sentence"}]), choice(tool_calls=[CALL | {"id": 7}]),
        choice(tool_calls=[{"id": "c", "function": {"name": "do this <b>", "arguments": ""}}]),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_judged_is_a_failure_without_an_echo(row: dict[str, Any]) -> None:
    with pytest.raises(UpstreamFailed) as error:
        unary(row)
    assert CANARY not in str(error.value)


@pytest.mark.parametrize("rows", [[], [0], [0, 0], [0, 1, 2], [1, 2]])
def test_there_are_as_many_choices_as_were_asked_for(rows: list[int]) -> None:
    with pytest.raises(UpstreamFailed):
        unary(*[choice(index) for index in rows], n=2)
    assert len([e for e in unary(choice(1), choice(0), n=2) if isinstance(e, Finish)]) == 2


@pytest.mark.parametrize("count", [-1, 1.5, "7", True, None, [1], MAX_COUNT + 1, 10**30])
def test_a_count_that_is_none_is_left_out(count: Any) -> None:
    """The audit log refuses floats and integers beyond 2^53: a server must not be able to unmake a record."""
    details = {"completion_tokens_details": {"reasoning_tokens": count}, "prompt_tokens_details": count}
    events = unary(choice(), usage={"prompt_tokens": count, "total_tokens": 3, **details})
    assert events[-1] == Usage({"total_tokens": 3})
    assert unary(choice(), usage={"prompt_tokens": count}) == [Finish(0, "stop")]


def test_chunks_carry_pieces_and_each_piece_of_a_call_has_its_index() -> None:
    assert chunk(role="assistant", content="") == []
    assert chunk(content="a") == [TextDelta(0, Channel.CONTENT, "a")]
    assert chunk(tool_calls=[{"index": 3, "function": {"arguments": "{"}}]) == [ToolDelta(0, 3, None, None, "{")]
    assert chunk(reason="length") == [Finish(0, "length")]
    assert list(read_chunk('{"choices": [], "usage": {"total_tokens": 4}}', 1)) == [Usage({"total_tokens": 4})]
    assert list(read_chunk("{}", 1)) == []


@pytest.mark.parametrize("index", [-1, 128, True, "0", None, 1.0])
def test_a_piece_of_a_call_without_a_usable_index_is_a_failure(index: Any) -> None:
    with pytest.raises(UpstreamFailed):
        chunk(tool_calls=[{"index": index, "function": {"arguments": "x"}}])


def test_an_error_inside_a_stream_is_a_failure_without_its_text() -> None:
    with pytest.raises(UpstreamFailed) as error:
        list(read_chunk(json.dumps({"error": {"message": CANARY}, "choices": []}), 1))
    assert error.value.code == "upstream_error"
    assert CANARY not in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "content", "tool_calls", "function", "index", "usage", "role"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(JSON, st.integers(1, 3))
def test_any_json_is_events_or_a_failure_and_nothing_else(value: Any, n: int) -> None:
    for read in (lambda text: list(read_unary(text.encode(), n)), lambda text: list(read_chunk(text, n))):
        try:
            events = read(json.dumps(value))
        except GatewayError as error:
            assert isinstance(error, UpstreamFailed)  # noqa: PT017 - either outcome is right
        else:
            assert all(event.choice < n for event in events if not isinstance(event, Usage))
