"""What a policy may loosen, and how it tells clients, on the running gateway: bytes on a socket, and their records."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.pipeline import InForce
from guards.errors import ErrorKind
from guards.panel import Panel
from guards.verdict import PPM, Guard, Verdict
from policies.load import parse_policy
from tests.doubles import ScriptedGuard
from tests.gateway.live import Live, content, say

RISK = "accept_risk: {by: ciso, ticket: RISK-3, until: %s}"
POLICY = """
gatehouse: policy/v1
name: looser
version: "1"
defaults: {%s}
detectors:
  harm: {use: starter_hazard, threshold: 0.5%s}
rules:
  - {id: harm-in, on: [user], when: {harm: {unsafe: true}}, do: {block: {code: unsafe_in%s}}}
  - {id: harm-out, on: [output], when: {harm: {unsafe: true}}, do: %s}
  - {id: pass, on: [user, output], do: allow}
"""
BLOCK = "{block: {code: unsafe_out%s}}"


def looser(
    defaults: str = "", detector: str = "", dialect: str = "", do: str = BLOCK % "", at: float = 1.8e9, **said: Any
) -> InForce:
    policy = parse_policy((POLICY % (defaults, detector, dialect, do)).encode(), "p")
    known = {"BAD": Verdict(PPM, (("S1", PPM),))} | said
    guards: dict[str, Guard] = {"harm": ScriptedGuard("starter_hazard", known)}
    identities = {name: guard.identity for name, guard in guards.items()}
    return InForce(policy, Panel(guards), identities, clock=lambda: at)


def events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


# --- dialects ---


@pytest.mark.parametrize("stream", [False, True])
def test_a_block_on_a_request_can_be_an_answer(live: Live, stream: bool) -> None:
    live.in_force = looser(dialect=", message: Not here., dialect: openai_refusal")
    response = live.chat("BAD", stream=stream)
    assert response.status_code == 200
    last = events(response.text)[-1] if stream else response.json()
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert (last["gatehouse"]["code"], live.server.bodies) == ("unsafe_in", [])
    assert stream or last["choices"][0]["message"]["refusal"] == "Not here."
    assert response.text.endswith("data: [DONE]\n\n") is stream
    [record] = live.records
    assert (record["type"], record["decision"]["dialect"]) == ("request.refuse", "openai_refusal")
    assert int(response.headers["gatehouse-record"]) == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_block_on_an_answer_can_be_an_error(live: Live, stream: bool) -> None:
    live.in_force = looser(do=BLOCK % ", dialect: openai_error")
    live.server.events = tuple(say("this is BAD"))
    response = live.chat(stream=stream)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["gatehouse"]["code"]) == ("content_filter", "unsafe_out")
    assert "BAD" not in response.text


def test_an_error_after_text_has_left_is_an_event_and_no_proper_end(live: Live) -> None:
    window = "stream: {mode: window, window: 10 characters, max_wait: 10ms}"
    live.in_force = looser(window, do=BLOCK % ", dialect: openai_error")
    first, second, *rest = say("good words first ", "and then BAD")
    live.server.events = (first, 0.2, second, *rest)
    response = live.chat(stream=True)
    assert (response.status_code, content(events(response.text))) == (200, "good words first ")
    assert events(response.text)[-1]["error"]["gatehouse"]["code"] == "unsafe_out"
    assert "[DONE]" not in response.text


# --- parts that no rule looks at ---


@pytest.mark.parametrize(("until", "status"), [("2030-12-31", 200), ("2020-12-31", 400)])
def test_an_uncovered_part_passes_while_somebody_accepts_it(live: Live, until: str, status: int) -> None:
    live.in_force = looser(f"uncovered: allow, {RISK % until}")
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    response = live.post({"model": "m", "messages": messages})
    assert response.status_code == status
    record = live.records[0]
    coverage, decision = record["coverage"], record["decision"]
    if status == 400:
        assert (coverage["uncovered"], decision["code"]) == (["/messages/0/content"], "uncovered_part")
        return
    assert (coverage["uncovered"], coverage["uncovered_accepted"]) == ([], ["/messages/0/content"])
    assert (coverage["parts"], coverage["parts_scanned"], coverage["parts_exempt"]) == (2, 1, 1)
    assert decision["opened"] == [{"rule": "defaults.uncovered", "ticket": "RISK-3"}]
    assert decision["flags"] == [{"rule": "defaults.uncovered", "queue": "accepted-risk", "severity": "high"}]


# --- people ---


def test_people_are_asked_where_a_verdict_is_missing_and_nobody_is_there(live: Live) -> None:
    asked = ", on_error: {review: {queue: duty, timeout: 1s}}"
    live.in_force = looser(detector=asked, hello=ErrorKind.TIMEOUT)
    response = live.chat("hello")
    assert (response.status_code, response.json()["error"]["gatehouse"]["code"]) == (400, "review_expired")
    assert live.types() == ["review.open", "review.expire", "request.refuse"]
    assert live.records[0]["review"]["rules"] == [{"rule": "harm-in", "queue": "duty"}]
    decision = live.records[-1]["decision"]
    assert decision["hanging"] == ["harm-in"]
    assert decision["errors"] == [{"detector": "harm", "kind": "timeout"}]
    assert live.server.bodies == []


@pytest.mark.parametrize(("until", "status"), [("2030-12-31", 200), ("2020-12-31", 400)])
def test_a_review_that_nobody_decides_ends_as_somebody_accepts(live: Live, until: str, status: int) -> None:
    review = f"{{review: {{queue: desk, hold: response, timeout: 1s, on_timeout: allow, {RISK % until}}}}}"
    live.in_force = looser(do=review)
    live.server.events = tuple(say("this is BAD"))
    response = live.chat()
    said = response.json()["choices"][0]
    assert said["finish_reason"] == ("stop" if status == 200 else "content_filter")
    expired, closing = live.records[2], live.records[3]
    assert (expired["type"], expired["review"]["outcome"]) == (
        "review.expire",
        "waived" if status == 200 else "expired",
    )
    opened = [{"rule": "harm-out", "ticket": "RISK-3"}] if status == 200 else None
    assert closing["decision"].get("opened") == opened


# --- text that leaves first ---


def test_a_stream_can_leave_before_it_is_judged_and_the_records_say_so(live: Live) -> None:
    live.in_force = looser("stream: {mode: shadow_only}")
    live.server.events = tuple(say("this ", "is ", "BAD"))
    response = live.chat(stream=True)
    assert content(events(response.text)) == "this is BAD"
    assert response.text.endswith("data: [DONE]\n\n")
    admitted, closing = live.records
    assert admitted["stream"] == {"mode": "shadow_only", "released": "before it is judged"}
    assert closing["stream"]["released_unjudged"] == 11
    assert closing["decision"]["action"] == "allow"
    assert closing["decision"]["shadow"] == [{"rule": "harm-out", "action": "block"}]
    assert closing["guards"][0]["rows"][0]["score_ppm"] == PPM


def test_an_answer_that_is_not_streamed_is_judged_first(live: Live) -> None:
    live.in_force = looser("stream: {mode: shadow_only}")
    live.server.events = tuple(say("this is BAD"))
    response = live.chat()
    assert "BAD" not in response.text
    assert response.json()["choices"][0]["finish_reason"] == "content_filter"
    assert "stream" not in live.records[0]
