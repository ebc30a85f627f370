"""Outcomes as OpenAI clients read them: blocks they can branch on, answers of judged text only, errors without text."""

from __future__ import annotations

import json
from typing import Any

from gateway.entries import Exchange
from gateway.errors import BadRequest
from gateway.exchange import (
    Caller,
    Channel,
    ChatRequest,
    Ended,
    ReleasedCalls,
    ReleasedText,
    TokenLogprob,
    ToolCall,
    Usage,
)
from gateway.pipeline import Blocked
from gateway.render import StreamedAnswer, UnaryAnswer, blocked_request, error_body, withheld
from policies.model import Action, Decision
from tests.gateway.live import policy

EXCHANGE = Exchange("id-1", Caller("k", "t", "a"), "/v1/chat/completions", "engine", policy())
BLOCK = Decision(Action.BLOCK, ("harm",), "unsafe_content", "Not allowed.", 400)
GUARD_DOWN = Decision(Action.BLOCK, (), "guard_unavailable", None, 503)


def asked(n: int = 1, include_usage: bool = False) -> ChatRequest:
    return ChatRequest("m", {}, (), True, include_usage, n, 2)


def events(answer: StreamedAnswer, *released: Any) -> list[dict[str, Any]]:
    wire = b"".join(event for item in released for event in answer.events(item))
    return [json.loads(event.removeprefix(b"data: ")) for event in wire.split(b"\n\n") if event]


def test_an_error_is_the_envelope_that_sdks_read() -> None:
    error = json.loads(error_body(BadRequest("invalid_value", "`n` must be 1", "n"), "id-1"))["error"]
    assert error == {"message": "`n` must be 1", "type": "invalid_request_error", "param": "n", "code": "invalid_value",
                     "gatehouse": {"request_id": "id-1"}}  # fmt: skip


def test_a_blocked_request_says_so_in_both_dialects() -> None:
    status, body = blocked_request(EXCHANGE, Blocked(7, BLOCK, on_answer=False))
    error = json.loads(body)["error"]
    assert (status, error["code"], error["message"]) == (400, "content_filter", "Not allowed.")
    azure = error["innererror"]
    assert (azure["code"], azure["innererror"]["code"]) == ("ResponsibleAIPolicyViolation", "content_policy_violation")
    detail = error["gatehouse"]
    assert (detail["code"], detail["rules"], detail["request_id"], detail["record"]) == (
        "unsafe_content", ["harm"], "id-1", 7,
    )  # fmt: skip
    assert detail["policy"] == {"name": "live", "version": "1.0.0", "digest": policy().digest}


def test_a_model_that_was_not_asked_has_used_nothing() -> None:
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    whole = UnaryAnswer(EXCHANGE, asked())
    whole.block(Blocked(7, BLOCK, on_answer=False))
    assert json.loads(whole.body())["usage"] == nothing
    streamed = StreamedAnswer(EXCHANGE, asked(include_usage=True))
    *_, last = streamed.blocked(Blocked(7, BLOCK, on_answer=False))
    assert json.loads(last.removeprefix(b"data: "))["usage"] == nothing


def test_a_guard_without_a_verdict_is_503_and_names_itself() -> None:
    """A client must be able to tell "your prompt is bad" from "try again"."""
    status, body = blocked_request(EXCHANGE, Blocked(7, GUARD_DOWN, on_answer=False))
    error = json.loads(body)["error"]
    assert (status, error["code"], error["type"]) == (503, "guard_unavailable", "service_unavailable")
    assert "innererror" not in error


def test_a_whole_answer_holds_every_channel_of_every_choice() -> None:
    answer = UnaryAnswer(EXCHANGE, asked(2))
    call = ToolCall("c1", "run", "{}")
    for item in (
        ReleasedText(1, Channel.CONTENT, "o"), ReleasedText(1, Channel.CONTENT, "ne"),
        ReleasedText(0, Channel.REASONING, "why"), ReleasedCalls(0, (call,)), Ended(0, "tool_calls"), Ended(1, "stop"),
        Usage({"total_tokens": 5}),
    ):  # fmt: skip
        answer.add(item)
    body = json.loads(answer.body())
    first, second = body["choices"]
    assert (first["index"], first["finish_reason"], first["message"]["content"]) == (0, "tool_calls", None)
    assert first["message"]["reasoning_content"] == "why"
    assert first["message"]["tool_calls"] == [
        {"id": "call_id1_0_0", "type": "function", "function": {"name": "run", "arguments": "{}"}}
    ], "the model server's own id is text that nobody judged"
    assert second["message"] == {"role": "assistant", "content": "one", "refusal": None}
    assert body["usage"] == {"total_tokens": 5}
    assert body["id"] == "chatcmpl-id-1"
    assert body["model"] == "m"


LOGPROBS = (TokenLogprob(b"o", -0.5), TokenLogprob(b"\xf0\x9f", -2))


def test_logprobs_stand_in_openais_form_beside_their_text() -> None:
    rows = [
        {"token": "o", "logprob": -0.5, "bytes": [111], "top_logprobs": []},
        {"token": "bytes:\\xf0\\x9f", "logprob": -2, "bytes": [240, 159], "top_logprobs": []},
    ]
    whole = UnaryAnswer(EXCHANGE, asked(2))
    for item in (
        ReleasedText(0, Channel.CONTENT, "o", LOGPROBS), ReleasedText(0, Channel.REASONING, "r", LOGPROBS),
        ReleasedText(1, Channel.REFUSAL, "o", LOGPROBS), Ended(0, "stop"), Ended(1, "stop"),
    ):  # fmt: skip
        whole.add(item)
    first, second = json.loads(whole.body())["choices"]
    assert first["logprobs"] == {"content": rows, "refusal": None}
    assert second["logprobs"] == {"content": None, "refusal": rows}
    _, piece, end = events(
        StreamedAnswer(EXCHANGE, asked()), ReleasedText(0, Channel.CONTENT, "o", LOGPROBS), Ended(0, "stop")
    )
    assert piece["choices"][0]["logprobs"] == {"content": rows, "refusal": None}
    assert end["choices"][0]["logprobs"] is None


def test_logprobs_of_a_choice_that_was_blocked_are_not_shown() -> None:
    whole = UnaryAnswer(EXCHANGE, asked(2))
    whole.add(ReleasedText(0, Channel.CONTENT, "o", LOGPROBS))
    whole.block(Blocked(9, BLOCK, on_answer=True, choice=0))
    whole.add(Ended(1, "stop"))
    first, second = json.loads(whole.body())["choices"]
    assert (first["logprobs"], first["finish_reason"]) == (None, "content_filter")
    assert first["gatehouse"]["record"] == 9
    assert (second["finish_reason"], "gatehouse" in second) == ("stop", False)


def test_a_choice_that_is_blocked_in_a_stream_ends_alone() -> None:
    answer = StreamedAnswer(EXCHANGE, asked(2))
    events(answer, ReleasedText(0, Channel.CONTENT, "a"), ReleasedText(1, Channel.CONTENT, "b"))
    wire = b"".join(answer.blocked(Blocked(9, BLOCK, on_answer=True, choice=0)))
    assert b"[DONE]" not in wire
    [row] = [json.loads(event.removeprefix(b"data: ")) for event in wire.split(b"\n\n") if event]
    assert (row["choices"][0]["index"], row["choices"][0]["finish_reason"]) == (0, "content_filter")
    assert list(answer.blocked(Blocked(9, BLOCK, on_answer=True, choice=0))) == [], "it ends once"
    assert events(answer, ReleasedText(1, Channel.CONTENT, "c"))[0]["choices"][0]["index"] == 1


def test_a_withheld_answer_holds_no_text_of_the_model_in_any_choice() -> None:
    answer = UnaryAnswer(EXCHANGE, asked(2))
    answer.add(ReleasedText(0, Channel.CONTENT, "judged text of a window before the bad one"))
    answer.block(Blocked(9, BLOCK, on_answer=True))
    body = json.loads(answer.body())
    assert "judged text" not in json.dumps(body)
    assert [choice["finish_reason"] for choice in body["choices"]] == ["content_filter"] * 2
    assert {choice["message"]["refusal"] for choice in body["choices"]} == {"Not allowed."}
    assert body["gatehouse"]["record"] == 9
    assert withheld(GUARD_DOWN) == "the answer was withheld by policy"


def test_a_stream_opens_each_choice_once_and_ends_it_once() -> None:
    answer = StreamedAnswer(EXCHANGE, asked(2))
    rows = events(
        answer, ReleasedText(0, Channel.CONTENT, "a"), ReleasedText(1, Channel.CONTENT, "b"),
        ReleasedText(0, Channel.CONTENT, "c"), Ended(0, "stop"), Ended(1, "length"),
    )  # fmt: skip
    deltas = [(row["choices"][0]["index"], row["choices"][0]["delta"]) for row in rows]
    opening = {"role": "assistant", "content": ""}
    assert deltas == [
        (0, opening), (0, {"content": "a"}), (1, opening), (1, {"content": "b"}), (0, {"content": "c"}), (0, {}),
        (1, {}),
    ]  # fmt: skip
    assert [row["choices"][0]["finish_reason"] for row in rows] == [None] * 5 + ["stop", "length"]
    assert {row["id"] for row in rows} == {"chatcmpl-id-1"}


def test_an_empty_answer_still_opens_its_choice() -> None:
    rows = events(StreamedAnswer(EXCHANGE, asked()), Ended(0, "stop"))
    assert [row["choices"][0]["finish_reason"] for row in rows] == [None, "stop"]
    whole = UnaryAnswer(EXCHANGE, asked())
    whole.add(Ended(0, "stop"))
    assert json.loads(whole.body())["choices"][0]["message"] == {"role": "assistant", "content": "", "refusal": None}


def test_tool_calls_in_a_stream_carry_their_index() -> None:
    calls = (ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "{}"))
    _, row = events(StreamedAnswer(EXCHANGE, asked()), ReleasedCalls(0, calls))
    assert [call["index"] for call in row["choices"][0]["delta"]["tool_calls"]] == [0, 1]


def test_usage_is_sent_to_who_asked_for_it() -> None:
    assert events(StreamedAnswer(EXCHANGE, asked()), Usage({"total_tokens": 5})) == []
    [row] = events(StreamedAnswer(EXCHANGE, asked(include_usage=True)), Usage({"total_tokens": 5}))
    assert (row["choices"], row["usage"]) == ([], {"total_tokens": 5})
    rows = events(StreamedAnswer(EXCHANGE, asked(include_usage=True)), Ended(0, "stop"))
    assert [row.get("usage", "none") for row in rows] == [None, None]
    assert all("usage" not in row for row in events(StreamedAnswer(EXCHANGE, asked()), Ended(0, "stop")))


def test_a_blocked_stream_ends_open_choices_only_and_nothing_follows() -> None:
    answer = StreamedAnswer(EXCHANGE, asked(2))
    events(answer, ReleasedText(0, Channel.CONTENT, "a"), Ended(0, "stop"))
    wire = b"".join(answer.blocked(Blocked(9, BLOCK, on_answer=True)))
    rows = [json.loads(event.removeprefix(b"data: ")) for event in wire.split(b"\n\n")[:-1]]
    assert [(row["choices"][0]["index"], row["choices"][0]["finish_reason"]) for row in rows] == [
        (1, None), (1, "content_filter"),
    ]  # fmt: skip
    assert rows[-1]["gatehouse"]["code"] == "unsafe_content"


def test_text_with_line_breaks_stays_one_event() -> None:
    """A raw line break inside an event would let a model write events of its own."""
    rows = events(StreamedAnswer(EXCHANGE, asked()), ReleasedText(0, Channel.CONTENT, "a\n\ndata: [DONE]\n\n\r\u2028b"))
    assert rows[1]["choices"][0]["delta"]["content"] == "a\n\ndata: [DONE]\n\n\r\u2028b"
