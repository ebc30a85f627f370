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


SMILE = "\U0001f600"


class Bytes(Names):
    """Token n is byte n of UTF-8."""

    def token(self, token_id: int) -> str:
        return self.text([token_id])

    def text(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def data(self, token_id: int) -> bytes:
        return bytes([token_id])


def answer(kind: type[Answer], tools: frozenset[str] = frozenset(), logprobs: int | None = None, **options: Any) -> Any:
    request = GenerateRequest((1, 2, 3), 10, 0.0, Sampling(logprobs=logprobs))
    return kind("m", "sha256:1", Asked(request, tools=tools, **options), Names())  # type: ignore[arg-type]


def of_bytes(logprobs: int, choices: int = 1) -> TextAnswer:
    request = GenerateRequest((1, 2, 3), 10, 0.0, Sampling(logprobs=logprobs))
    return TextAnswer("m", "sha256:1", Asked(request, choices=choices), Bytes())  # type: ignore[arg-type]


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
    assert whole["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
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


@pytest.mark.parametrize(("reason", "text"), [(Reason.LENGTH, ""), (Reason.STOP, "[f(a=")])
def test_half_of_a_demanded_call_is_no_prose(reason: Reason, text: str) -> None:
    one = answer(ChatAnswer, frozenset({"f"}), demands_calls=True)
    pieces = fed(one, "[f(", "a=", reason=reason)

    assert "".join(piece["delta"].get("content", "") for piece in pieces) == text
    choice = one.whole()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == (str(reason), text)
    assert "tool_calls" not in choice["message"]


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


def test_offsets_are_the_same_in_a_stream_and_where_text_is_held_back() -> None:
    one = of_bytes(logprobs=0)
    drawn = [Drawn(byte, -1.0) for byte in f"a{SMILE}b.".encode()]
    pieces = one.take(0, Grown("a", tuple(drawn[:1])))
    pieces += one.take(0, Grown(SMILE, tuple(drawn[1:6])))
    pieces += one.take(0, Grown("b.", tuple(drawn[6:])))
    one.take(0, Finished(Reason.STOP, 7))

    told = one.whole()["choices"][0]
    assert told["logprobs"]["text_offset"] == [0, 1, 1, 1, 1, 2, 3]
    assert [at for piece in pieces for at in piece["logprobs"]["text_offset"]] == told["logprobs"]["text_offset"]
    assert told["text"][told["logprobs"]["text_offset"][5]] == "b"


def test_half_a_character_that_never_becomes_whole_has_a_place_of_its_own() -> None:
    one = of_bytes(logprobs=0)
    one.take(0, Grown("a\ufffdb", (Drawn(97, -1.0), Drawn(0xF0, -1.0), Drawn(98, -1.0))))
    assert one.whole()["choices"][0]["logprobs"]["text_offset"] == [0, 1, 2]


@pytest.mark.parametrize(("logprobs", "count"), [(0, 1), (2, 3)])
def test_the_drawn_token_is_among_the_alternatives_of_a_completion(logprobs: int, count: int) -> None:
    one = of_bytes(logprobs)
    top = ((ord("x"), -0.1), (ord("y"), -0.2))[:logprobs]
    one.take(0, Grown("a", (Drawn(ord("a"), -5.0, top),)))
    (told,) = one.whole()["choices"][0]["logprobs"]["top_logprobs"]
    assert (len(told), told["a"]) == (count, -5.0)


def test_parts_of_characters_are_alternatives_of_their_own() -> None:
    one = of_bytes(logprobs=2)
    top = ((0xF0, -0.1), (0x9F, -0.2))
    one.take(0, Grown("", (Drawn(0xF0, -0.1, top),)))
    told = one.whole()["choices"][0]["logprobs"]
    assert told["tokens"] == ["bytes:\\xf0"]
    assert told["top_logprobs"] == [{"bytes:\\xf0": -0.1, "bytes:\\x9f": -0.2}]


def test_of_two_tokens_with_one_name_the_likelier_is_told() -> None:
    one = answer(TextAnswer, logprobs=2)
    one.take(0, Grown("a", (Drawn(5, -0.1, ((5, -0.1), (5, -3.0))),)))
    assert one.whole()["choices"][0]["logprobs"]["top_logprobs"] == [{"<5>": -0.1}]


def test_a_prompt_is_cached_as_far_as_every_one_of_its_answers_found_it() -> None:
    one = of_bytes(logprobs=0, choices=2)
    one.take(0, Finished(Reason.STOP, 4, reused=1, computed=2))
    one.take(1, Finished(Reason.STOP, 5, reused=3, computed=0))
    assert one.whole()["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 9,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 1},
        "computed_tokens": 2,
    }


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
