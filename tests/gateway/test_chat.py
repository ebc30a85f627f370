"""One chat exchange from bytes to bytes: real status codes before the first text, honest endings after it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.types import Message, Scope

from gateway.audit.log import AuditLog
from gateway.chat import Conversation
from gateway.entries import Exchange
from gateway.errors import UpstreamFailed
from gateway.exchange import Caller, Channel, Finish, TextDelta, ToolDelta, Usage
from gateway.ledger import Ledger
from gateway.metrics import Metrics
from gateway.records import Records
from gateway.wire import parse_chat
from guards.errors import ErrorKind
from guards.verdict import PPM, Verdict
from tests.doubles import MemoryLog
from tests.gateway.live import Live, content, in_force, say, until
from tests.gateway.test_pipeline import Bench

LONG = ["0123456789"] * 12


def rows(text: str) -> list[dict[str, Any]]:
    """The events of a stream that ended properly."""
    *events, receipt, done, rest = text.split("\n\n")
    assert receipt.startswith(": gatehouse-receipt ")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def ending(text: str) -> dict[str, Any]:
    """The error that a stream ended with; the receipt of the record that says so follows it."""
    *_, error, receipt, rest = text.split("\n\n")
    assert receipt.startswith(": gatehouse-receipt ")
    assert rest == ""
    return dict(json.loads(error.removeprefix("data: "))["error"])


def closings(live: Live) -> list[dict[str, Any]]:
    return [record for record in live.records if record["stage"] == "complete"]


def test_streamed_and_unary_answers_say_the_same(live: Live) -> None:
    live.server.events = tuple(say(*LONG))
    unary = live.chat().json()["choices"][0]["message"]["content"]
    events = rows(live.chat(stream=True, stream_options={"include_usage": True}).text)
    assert content(events) == unary == "".join(LONG)
    assert events[-1]["usage"] == {"total_tokens": 3}
    assert {row["object"] for row in events} == {"chat.completion.chunk"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("says", "kind"), [("hello", "response.complete"), ("this is BAD", "request.refuse")])
def test_an_answer_carries_the_receipt_of_the_record_that_ends_it(
    live: Live, says: str, kind: str, stream: bool
) -> None:
    live.in_force = in_force(harm={"BAD": Verdict(PPM)})
    answer = live.chat(says, stream=stream)
    [number] = [number for number, record in enumerate(live.records) if record["stage"] == "complete"]
    assert live.records[number]["type"] == kind
    in_stream = kind == "response.complete" and stream
    assert answer.headers.get("gatehouse-receipt") == f"memory; i={number}", "an answer this short is over at once"
    assert (f": gatehouse-receipt memory; i={number}\n\n" in answer.text) == in_stream


def test_a_long_stream_is_begun_before_there_is_a_receipt(live: Live) -> None:
    live.server.events = (*say(*LONG)[:-2], 0.05, *say(*LONG))
    answer = live.chat(stream=True)
    assert "gatehouse-receipt" not in answer.headers
    assert answer.text.count(": gatehouse-receipt ") == 1


def test_a_stream_has_the_headers_that_clients_and_proxies_need(live: Live) -> None:
    headers = live.chat(stream=True).headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store"
    assert "content-length" not in headers
    assert headers["gatehouse-record"] == "0"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_bad_from_the_start_is_withheld(live: Live, stream: bool) -> None:
    live.server.events = tuple(say("a BAD answer"))
    response = live.chat(stream=stream)
    assert response.status_code == 200
    assert "BAD" not in response.text
    row = rows(response.text)[-1] if stream else response.json()
    assert row["choices"][0]["finish_reason"] == "content_filter"
    assert row["gatehouse"]["code"] == "unsafe_content"
    assert live.types() == ["request.admit", "response.complete"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_withheld_answer_says_what_it_used(live: Live, stream: bool) -> None:
    """Clients count tokens of every answer."""
    live.server.events = tuple(say("a BAD answer"))
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    response = live.chat(**options)
    row = rows(response.text)[-1] if stream else response.json()
    assert row["usage"] == {"total_tokens": 3}


def test_a_stream_that_turns_bad_ends_there_and_says_so(live: Live) -> None:
    live.server.events = (*say(*LONG)[:-2], 0.05, *say(" and then BAD", *LONG))
    events = rows(live.chat(stream=True).text)
    assert "".join(LONG).startswith(content(events))
    assert len(content(events)) > 20
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert closings(live)[0]["decision"]["rules"] == ["harm"]
    until(lambda: live.server.closed)


@pytest.mark.parametrize("stream", [False, True])
def test_a_guard_that_is_down_during_the_answer_is_503_when_nothing_was_sent(live: Live, stream: bool) -> None:
    live.in_force = in_force(harm={"LOST": ErrorKind.UNAVAILABLE})
    live.server.events = tuple(say("LOST"))
    response = live.chat(stream=stream)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "guard_unavailable")
    assert response.headers["retry-after"] == "1"
    assert live.types() == ["request.admit", "response.complete"]


def test_a_guard_that_goes_down_in_the_middle_ends_the_stream_with_an_error_event(live: Live) -> None:
    live.in_force = in_force(harm={"LOST": ErrorKind.TIMEOUT})
    live.server.events = (*say(*LONG)[:-2], 0.05, *say(" LOST ", *LONG))
    text = live.chat(stream=True).text
    assert "LOST" not in text
    assert "[DONE]" not in text, "a client that only looks for [DONE] must not take this for a whole answer"
    assert ending(text)["code"] == "guard_unavailable"


@pytest.mark.parametrize(
    ("failure", "code"),
    [(UpstreamFailed("upstream_broken", "x"), "upstream_broken"), (KeyError("canary"), "internal_error")],
)
def test_a_failure_after_the_first_text_is_an_error_event_and_one_closing_record(
    live: Live, failure: Exception, code: str
) -> None:
    live.server.events = (*(TextDelta(0, Channel.CONTENT, text) for text in LONG), 0.05, failure)
    text = live.chat(stream=True).text
    assert "0123456789" in text
    assert "[DONE]" not in text
    assert "canary" not in text
    assert ending(text)["code"] == code
    assert [record["type"] for record in closings(live)] == ["response.abort"]
    until(lambda: live.metric("gatehouse_in_flight") == 0)


def test_the_log_failing_in_the_middle_stops_the_release(live: Live) -> None:
    live.log.fail_from = 2
    live.server.events = (*say(*LONG)[:-2], 0.05, *say(*LONG))
    text = live.chat(stream=True).text
    assert len(text) < 2000
    assert "audit_unavailable" in text
    assert "[DONE]" not in text


PHASES: list[tuple[str, dict[str, Any]]] = [
    ("while the request is judged", {"guard_s": 0.3}),
    ("while its admission is written", {"slow_s": 0.3}),
    ("while the model server thinks", {"events": (30.0, *say("never"))}),
    ("while the model server streams", {"events": (*(TextDelta(0, Channel.CONTENT, text) for text in LONG), 30.0)}),
    ("while the last window is written", {"slow_s": 0.08}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("_phase", "setting"), PHASES, ids=[phase for phase, _ in PHASES])
def test_a_client_that_hangs_up_leaves_one_closing_record(
    live: Live, _phase: str, setting: dict[str, Any], stream: bool
) -> None:
    live.log.slow_s = setting.get("slow_s", 0)
    live.server.events = setting.get("events", tuple(say("fine")))
    live.in_force = in_force(setting.get("guard_s", 0.0))
    with live.begin_chat(stream=stream) as sock:
        sock.settimeout(0.12)
        try:
            while sock.recv(65536):
                pass
        except TimeoutError:
            pass
    until(lambda: live.metric("gatehouse_in_flight") == 0)
    until(lambda: len(closings(live)) == 1)
    assert live.server.closed or not live.server.bodies
    assert len(closings(live)) == 1, live.types()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("slow_client", [False, True])
def test_an_exchange_that_outlives_the_drain_is_recorded_as_shutting_down(stream: bool, slow_client: bool) -> None:
    """A hang-up is the client's doing and a drain is ours: who reads the log must not take one for the other."""
    words = [TextDelta(0, Channel.CONTENT, "words and more words ")] * (5_000 if slow_client else 4)
    with Live(*words[:4_000], 30.0, *say("never")) as live, live.begin_chat(stream=stream) as sock:
        if not slow_client and stream:
            assert sock.recv(100)
        until(lambda: bool(live.server.bodies))
        live._uvicorn.should_exit = True
        until(lambda: len(closings(live)) == 1, 10)
    [closing] = closings(live)
    assert (closing["type"], closing["err"]) == ("response.abort", {"code": "shutting_down", "where": "front"})


def test_who_has_had_nothing_when_the_drain_is_over_is_told_to_ask_again() -> None:
    with Live(30.0, *say("never")) as live, live.begin_chat() as sock:
        until(lambda: bool(live.server.bodies))
        live._uvicorn.should_exit = True
        head, _, body = sock.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in head
    assert json.loads(body)["error"]["code"] == "shutting_down"
    assert live.types() == ["request.admit", "response.abort"]


async def test_a_client_that_is_gone_before_the_status_line_leaves_one_closing_record(tmp_path: Path) -> None:
    """As when what it was sent before on the same connection fills its buffers."""
    bench, log, gone, ends = Bench(tmp_path, *say(*["a word "] * 20)), MemoryLog(), asyncio.Event(), list[str]()
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    request = parse_chat(json.dumps(body).encode(), bench.policy.limits)
    exchange = Exchange("id-1", Caller("k", "t", "a"), "/v1/chat/completions", "engine", bench.policy)
    ledger = Ledger(Records(cast(AuditLog, log), Metrics()))
    conversation = Conversation(
        bench.pipeline, ledger, exchange, bench.in_force, request, lambda _, code: ends.append(code)
    )

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        gone.set()
        await asyncio.Event().wait()

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    response = await conversation.respond(Request(scope, receive))
    await response(scope, receive, send)
    assert [record["type"] for record in log.records] == ["request.admit", "response.progress", "response.abort"]
    assert log.records[-1]["err"]["code"] == "client_gone"
    assert ends == ["client_gone"]


def test_logprobs_are_forbidden_where_the_policy_says_so(live: Live) -> None:
    limits = dataclasses.replace(live.in_force.policy.limits, logprobs=False)
    live.in_force = dataclasses.replace(live.in_force, policy=dataclasses.replace(live.in_force.policy, limits=limits))
    error = live.chat(logprobs=True).json()["error"]
    assert (error["code"], error["param"]) == ("limit_logprobs", "logprobs")
    assert live.chat(logprobs=False).status_code == 200


def test_a_bad_choice_is_withheld_and_the_other_one_is_not(live: Live) -> None:
    live.server.events = (
        TextDelta(0, Channel.CONTENT, "fine"), Finish(0, "stop"),
        TextDelta(1, Channel.CONTENT, "BAD"), Finish(1, "stop"), Usage({"total_tokens": 1}),
    )  # fmt: skip
    body = live.chat(n=2).json()
    good, bad = body["choices"]
    assert (good["finish_reason"], good["message"]["content"]) == ("stop", "fine")
    assert (bad["finish_reason"], bad["message"]["content"]) == ("content_filter", None)
    assert (bad["message"]["refusal"], bad["gatehouse"]["rules"]) == ("Not allowed.", ["harm"])
    assert "gatehouse" not in body
    assert "BAD" not in json.dumps(body)
    assert body["usage"] == {"total_tokens": 1}


def test_a_choice_that_turns_bad_ends_and_the_other_one_streams_on(live: Live) -> None:
    def both(text: str, other: str) -> list[Any]:
        return [TextDelta(0, Channel.CONTENT, text), TextDelta(1, Channel.CONTENT, other)]

    live.server.events = (
        *both("0123456789" * 3, "abcdefghij" * 3), 0.05, *both(" then BAD", " and on"), 0.1,
        *both("never seen" * 5, "seen" * 10), Finish(1, "stop"), Finish(0, "stop"),
    )  # fmt: skip
    events = rows(live.chat(stream=True, n=2).text)
    texts = ["".join(c["delta"].get("content") or "" for r in events for c in r["choices"] if c["index"] == i)
             for i in (0, 1)]  # fmt: skip
    assert texts[1] == "abcdefghij" * 3 + " and on" + "seen" * 10
    assert ("0123456789" * 3).startswith(texts[0])
    ends = [(c["index"], c["finish_reason"]) for r in events for c in r["choices"] if c["finish_reason"]]
    assert ends == [(0, "content_filter"), (1, "stop")]
    [closing] = closings(live)
    assert closing["decision"]["outcome"] == "allow"
    assert [(row["choice"], row["outcome"], row["rules"]) for row in closing["choices"]] == [
        (0, "block", ["harm"]), (1, "allow", ["pass"]),
    ]  # fmt: skip
    assert live.metric("gatehouse_in_flight") == 0


@pytest.mark.parametrize("stream", [False, True])
def test_when_every_choice_is_bad_the_exchange_ends_at_once(live: Live, stream: bool) -> None:
    live.server.events = (
        *(TextDelta(choice, Channel.CONTENT, "BAD from the start on") for choice in (0, 1)), 0.05,
        *((30.0,) if stream else ()), Finish(0, "stop"), Finish(1, "stop"),
    )  # fmt: skip
    response = live.chat(n=2, stream=stream)
    events = rows(response.text) if stream else [response.json()]
    ends = [c["finish_reason"] for row in events for c in row["choices"] if c["finish_reason"]]
    assert ends == ["content_filter"] * 2
    assert "BAD" not in response.text
    until(lambda: live.server.closed)


@pytest.mark.parametrize("stream", [False, True])
def test_a_guard_that_is_down_for_one_choice_is_a_failure_of_all(live: Live, stream: bool) -> None:
    live.in_force = in_force(harm={"LOST": ErrorKind.UNAVAILABLE})
    live.server.events = (
        TextDelta(0, Channel.CONTENT, "fine"), Finish(0, "stop"), TextDelta(1, Channel.CONTENT, "LOST"),
        Finish(1, "stop"),
    )  # fmt: skip
    response = live.chat(n=2, stream=stream)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "guard_unavailable")


def test_tool_calls_come_whole_and_judged(live: Live) -> None:
    live.server.events = (
        ToolDelta(0, 0, "c1", "run", '{"a"'),
        ToolDelta(0, 0, None, None, ": 1}"),
        Finish(0, "tool_calls"),
    )
    tools = [{"type": "function", "function": {"name": "run"}}]
    [call] = live.chat(tools=tools).json()["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "run", "arguments": '{"a": 1}'}
    streamed = [row["choices"][0]["delta"] for row in rows(live.chat(tools=tools, stream=True).text)]
    assert [delta["tool_calls"][0]["function"]["arguments"] for delta in streamed if "tool_calls" in delta] == [
        '{"a": 1}'
    ]


def test_many_exchanges_at_once_do_not_mix(live: Live) -> None:
    """Each answer belongs to the request it came for, and each exchange closes by itself."""
    from concurrent.futures import ThreadPoolExecutor

    live.in_force = in_force(harm={"BAD": Verdict(PPM, (("S1", PPM),))})
    with ThreadPoolExecutor(16) as pool:
        texts = [f"hello {number}" if number % 3 else f"BAD {number}" for number in range(60)]
        answers = list(pool.map(lambda text: live.chat(text, stream=len(text) % 2 == 0), texts))
    assert [answer.status_code for answer in answers] == [200 if text.startswith("hello") else 400 for text in texts]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 60
    ended = [record["req"] for record in closings(live)]
    assert sorted(ended) == sorted(ids)
