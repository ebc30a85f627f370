"""Whole answers and streams are the same text; a call is never shown as prose first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.events import Drawn, Finished, GenerateRequest, Grown, Reason, Sampling
from engine.generate_answer import Answer, ChatAnswer, TextAnswer, event
from engine.generate_wire import Asked


class Names:
    """Token n is `<n>`; below 3 it is a control token."""

    def token(self, token_id: int) -> str:
        return f"<{token_id}>"

    def text(self, ids: list[int]) -> str:
        return "".join(f"<{token}>" for token in ids if token > 2)

    def data(self, token_id: int) -> bytes:
        return f"<{token_id}>".encode()


def answer(kind: type[Answer], tools: frozenset[str] = frozenset(), logprobs: int | None = None, **options: Any) -> Any:
    request = GenerateRequest((1, 2, 3), 10, 0.0, Sampling(logprobs=logprobs))
    return kind("m", "sha256:1", Asked(request, tools=tools, **options), Names())  # type: ignore[arg-type]


def grown(text: str, token: int = 5) -> Grown:
    return Grown(text, (Drawn(token, -0.5, ((token, -0.5), (9, -2.0))),))


def fed(one: Answer, *texts: str, reason: Reason = Reason.STOP) -> list[dict[str, Any]]:
    pieces = one.opening()
    for text in texts:
        pieces += one.take(0, grown(text))
    return [*pieces, *one.take(0, Finished(reason, len(texts)))]


def test_a_chat_answer_whole_and_in_pieces() -> None:
    one = answer(ChatAnswer)
    pieces = fed(one, "he", "llo")

    assert [piece["delta"] for piece in pieces] == [
        {"role": "assistant", "content": ""},
        {"content": "he"},
        {"content": "llo"},
        {},
    ]
    assert [piece["finish_reason"] for piece in pieces] == [None, None, None, "stop"]
    whole = one.whole()
    assert whole["choices"][0]["message"]["content"] == "hello"
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert whole["system_fingerprint"] == "sha256:1"


def test_a_call_is_held_back_until_it_is_whole() -> None:
    one = answer(ChatAnswer, frozenset({"f"}))
    pieces = fed(one, " [f(", "a=1)", "]")

    assert all("content" not in piece["delta"] or not piece["delta"]["content"] for piece in pieces)
    (call,) = pieces[1]["delta"]["tool_calls"]
    assert call["index"] == 0
    assert call["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert pieces[-1]["finish_reason"] == "tool_calls"
    message = one.whole()["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["type"] == "function"


def test_what_only_looked_like_a_call_is_text() -> None:
    one = answer(ChatAnswer, frozenset({"f"}))
    pieces = fed(one, "[see", " below]", reason=Reason.LENGTH)

    assert pieces[1]["delta"] == {"content": "[see below]"}
    assert pieces[-1]["finish_reason"] == "length"


def test_text_that_cannot_become_a_call_is_shown_at_once() -> None:
    one = answer(ChatAnswer, frozenset({"f"}))
    assert one.take(0, grown("a ["))[0]["delta"] == {"content": "a ["}
    assert one.take(0, grown("f()]"))[0]["delta"] == {"content": "f()]"}


def test_log_probabilities_travel_with_their_text() -> None:
    one = answer(ChatAnswer, logprobs=2)
    pieces = fed(one, "a")
    (row,) = pieces[1]["logprobs"]["content"]

    assert (row["token"], row["logprob"], row["bytes"]) == ("<5>", -0.5, list(b"<5>"))
    assert [top["token"] for top in row["top_logprobs"]] == ["<5>", "<9>"]
    assert one.whole()["choices"][0]["logprobs"]["content"] == [row]


def test_a_completion_has_offsets_and_names_by_id_on_request() -> None:
    one = answer(TextAnswer, logprobs=2, tokens_as_ids=True)
    fed(one, "ab", "c")
    choice = one.whole()["choices"][0]

    assert choice["text"] == "abc"
    assert choice["logprobs"]["tokens"] == ["token_id:5", "token_id:5"]
    assert choice["logprobs"]["top_logprobs"][0] == {"token_id:5": -0.5, "token_id:9": -2.0}
    assert choice["logprobs"]["text_offset"] == [0, 3]


def test_control_tokens_take_no_room_in_the_text() -> None:
    one = answer(TextAnswer, logprobs=0)
    one.take(0, Grown("<7><8>", (Drawn(1), Drawn(7, -1.0), Drawn(8, -1.0))))
    one.take(0, Finished(Reason.STOP, 2))
    choice = one.whole()["choices"][0]

    assert choice["logprobs"]["text_offset"] == [0, 0, 3]
    assert [choice["text"][at : at + 3] for at in choice["logprobs"]["text_offset"][1:]] == ["<7>", "<8>"]


def test_choices_do_not_mix() -> None:
    one = answer(ChatAnswer, choices=2)
    one.take(0, grown("a"))
    one.take(1, grown("b"))
    one.take(1, Finished(Reason.STOP, 1))
    one.take(0, Finished(Reason.LENGTH, 1))

    choices = one.whole()["choices"]
    assert [(c["message"]["content"], c["finish_reason"]) for c in choices] == [("a", "length"), ("b", "stop")]


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_ends_with_usage_when_asked_and_with_done(usage: bool) -> None:
    one = answer(ChatAnswer, stream_usage=usage)
    pieces = fed(one, "a")
    parts = one.ending().decode().split("\n\n")

    assert parts[-2:] == ["data: [DONE]", ""]
    assert len(parts) == (3 if usage else 2)
    assert ("usage" in json.loads(one.encode(pieces[0]).decode().removeprefix("data: "))) == usage


def test_an_event_is_one_line() -> None:
    assert event({"a": "x\ny\u2028"}).count(b"\n") == 2
