"""The order of the steps, and what happens when one of them fails: no byte unjudged, no effect without its record."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from gateway.disconnect import Client
from gateway.entries import Exchange
from gateway.errors import GatewayError, UpstreamFailed
from gateway.exchange import Caller, Channel, Ended, Finish, ReleasedCalls, ReleasedText, TextDelta, ToolDelta, Usage
from gateway.pipeline import Admitted, Blocked, InForce, Pipeline, Step
from gateway.wire import parse_chat
from guards.errors import ErrorKind
from guards.panel import Panel
from guards.verdict import PPM, Guard, Span, Verdict
from policies.load import load_policy
from policies.settings import Limits
from tests.doubles import MemoryAudit, ScriptedGuard, ScriptedServer, jumping

POLICY = """
gatehouse: policy/v1
name: test
version: 1.0.0
owner: tests@gatehouse.example
defaults:
  stream: {mode: window, window: 20 characters, holdback: 10 characters, max_wait: 50ms}
detectors:
  harm: {use: starter_hazard, threshold: 0.5}
  keys: {use: secrets}
rules:
  - id: harm
    on: [user, history, output, reasoning, tool_call]
    when: {harm: {unsafe: true}}
    do: {block: {code: unsafe_content}}
  - {id: keys, on: [user, output, tool_call], when: {keys: {count: {gte: 1}}}, do: {redact: {as: "[{label}]"}}}
  - {id: pass, on: [system, user, history, tool_schema, tool_result, tool_call, output, reasoning], do: allow}
"""
BAD = {"BAD": Verdict(PPM, (("S1", PPM),))}


class Bench:
    """A pipeline over doubles, and what came out of it."""

    def __init__(
        self, tmp_path: Path, *events: Any, keys: dict[str, Any] | None = None, audit: MemoryAudit | None = None
    ) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(POLICY)
        self.policy = load_policy(path)
        self.harm, self.keys = ScriptedGuard("starter_hazard", BAD), ScriptedGuard("secrets", keys)
        guards: dict[str, Guard] = {"harm": self.harm, "keys": self.keys}
        self.in_force = InForce(self.policy, Panel(guards), {name: guard.identity for name, guard in guards.items()})
        self.server, self.audit = ScriptedServer(*events), audit or MemoryAudit()
        self.pipeline = Pipeline(self.server, b"k" * 32)

    def steps(self, text: str, client: Client | None = None, **fields: Any) -> Any:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]} | fields
        request = parse_chat(json.dumps(body).encode(), _limits())
        exchange = Exchange("id-1", Caller("k", "t", "a"), "/v1/chat/completions", "engine", self.policy)
        return self.pipeline.run(self.audit, exchange, self.in_force, request, client)

    async def run(self, text: str = "hello", **fields: Any) -> list[Step]:
        return [step async for step in self.steps(text, **fields)]


def _limits() -> Limits:
    return Limits(n=4, messages=1024)


def say(*texts: str, choice: int = 0) -> list[Any]:
    return [*(TextDelta(choice, Channel.CONTENT, text) for text in texts), Finish(choice, "stop")]


def released(steps: list[Step]) -> str:
    return "".join(step.text for step in steps if isinstance(step, ReleasedText))


async def test_a_good_exchange_is_two_records_around_one_answer(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say("fine"), Usage({"total_tokens": 3}))
    steps = await bench.run()
    assert [type(step) for step in steps] == [Admitted, ReleasedText, Ended, Usage]
    assert bench.audit.types() == ["request.admit", "response.complete"]
    assert bench.server.bodies == [{"model": "served/m", "messages": [{"role": "user", "content": "hello"}]}]
    complete = bench.audit.records[1]
    assert complete["admit"] == 0
    assert complete["coverage"] == {
        "parts": 1,
        "parts_scanned": 1,
        "scopes": {"output": 1},
        "bytes": 4,
        "bytes_scanned": 4,
        "uncovered": [],
        "uncovered_n": 0,
    }


async def test_guards_see_the_conversation_and_whose_it_is_with_request_and_answer(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say("fine"))
    await bench.run()
    assert len(bench.harm.contexts) == 2
    for context in bench.harm.contexts:
        assert [(turn.role, turn.text) for turn in context.turns] == [("user", "hello")]
        assert context.tenant == "t"


async def test_a_blocked_prompt_never_reaches_the_model_server(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say("never"))
    steps = await bench.run("this is BAD")
    assert [type(step) for step in steps] == [Blocked]
    assert bench.server.bodies == []
    assert bench.audit.types() == ["request.refuse"]
    assert bench.audit.records[0]["decision"]["rules"] == ["harm"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_answer_releases_nothing_of_its_window(tmp_path: Path, stream: bool) -> None:
    bench = Bench(tmp_path, *say("this answer", " is BAD from the", " first window on"))
    steps = await bench.run(stream=stream)
    assert released(steps) == ""
    assert isinstance(steps[-1], Blocked)
    assert steps[-1].on_answer
    assert bench.audit.types() == ["request.admit", "response.complete"]
    assert bench.server.closed


async def test_a_stream_releases_judged_windows_and_stops_at_the_bad_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say("a" * 25, "b" * 25, "c" * 25, " then BAD", "d" * 40))
    steps = await bench.run(stream=True)
    text = released(steps)
    assert "BAD" not in text
    assert "d" not in text
    assert ("a" * 25 + "b" * 25 + "c" * 25).startswith(text)
    for judged, record in zip(bench.harm.judged[1:], bench.audit.records[1:], strict=True):
        assert record["type"] in ("response.progress", "response.complete")
        assert judged


async def test_every_window_is_recorded_before_it_is_released(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say(*["0123456789"] * 12))
    seen = 0
    async for step in bench.steps("hello", stream=True):
        if isinstance(step, ReleasedText):
            seen += len(step.text)
            last = bench.audit.records[-1]
            assert last["type"] in ("response.progress", "response.complete")
            assert last["coverage"]["bytes"] == last["coverage"]["bytes_scanned"]
    assert seen == 120
    assert bench.audit.types()[-1] == "response.complete"


@pytest.mark.parametrize("records", [0, 1, 2])
async def test_no_record_no_effect(tmp_path: Path, records: int) -> None:
    """The log fails at the admission, at the first window, at a later one: nothing it would have covered leaves."""
    bench = Bench(tmp_path, *say(*["0123456789"] * 12), audit=MemoryAudit(fail_from=records))
    steps: list[Step] = []

    async def collect() -> None:
        async for step in bench.steps("hello", stream=True):
            steps.append(step)

    with pytest.raises(GatewayError) as error:
        await collect()
    assert error.value.code == "audit_unavailable"
    assert bool(bench.server.bodies) == (records > 0)
    if records < 2:
        assert released(steps) == ""


@pytest.mark.parametrize("kind", list(ErrorKind))
async def test_a_guard_without_a_verdict_is_503_on_the_way_in_and_out(tmp_path: Path, kind: ErrorKind) -> None:
    bench = Bench(tmp_path, *say("answer LOST"))
    bench.harm.phrases["LOST"] = kind
    [blocked] = await bench.run("LOST")
    assert isinstance(blocked, Blocked)
    assert (blocked.decision.code, blocked.decision.status) == ("guard_unavailable", 503)
    assert bench.server.bodies == []
    steps = await bench.run("fine")
    assert released(steps) == ""
    assert isinstance(steps[-1], Blocked)
    assert steps[-1].decision.status == 503


async def test_redaction_happens_before_the_model_server_and_before_the_client(tmp_path: Path) -> None:
    at = "my key is KEY123".index("KEY123")
    spans = {"KEY123": Verdict(PPM, (), (Span(at, at + 6, "aws_key"),))}
    bench = Bench(tmp_path, *say("my key is KEY123"), keys=spans)
    steps = await bench.run("my key is KEY123")
    assert bench.server.bodies[0]["messages"][0]["content"] == "my key is [aws_key]"
    assert released(steps) == "my key is [aws_key]"
    admit = bench.audit.records[0]
    assert admit["transform"] == [{"part": "/messages/0/content", "rule": "keys", "kind": "redact", "n": 1}]
    assert admit["digest"]["in_canon_hmac"] != admit["digest"]["up_req_hmac"]
    assert "KEY123" not in json.dumps(bench.audit.records)


async def test_every_choice_reasoning_and_tool_calls_are_judged(tmp_path: Path) -> None:
    events = [
        TextDelta(0, Channel.CONTENT, "fine"), Finish(0, "stop"),
        TextDelta(1, Channel.REASONING, "BAD thought"), Finish(1, "stop"),
    ]  # fmt: skip
    steps = await Bench(tmp_path, *events).run(n=2)
    assert released(steps) == "fine"
    assert [step.choice for step in steps if isinstance(step, Blocked)] == [1]
    call = [ToolDelta(0, 0, "c1", "run", '{"cmd": "BAD"}'), Finish(0, "tool_calls")]
    steps = await Bench(tmp_path, *call).run()
    assert isinstance(steps[-1], Blocked)
    assert not any(isinstance(step, ReleasedCalls) for step in steps)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_cut_off_is_an_error_and_closes_its_record(tmp_path: Path, stream: bool) -> None:
    bench = Bench(tmp_path, TextDelta(0, Channel.CONTENT, "half an"))
    with pytest.raises(UpstreamFailed):
        await bench.run(stream=stream)
    assert bench.audit.types() == ["request.admit", "response.abort"]
    assert bench.audit.records[1]["err"]["code"] == "upstream_cut_off"


async def test_a_failing_server_closes_the_record_with_its_code(tmp_path: Path) -> None:
    bench = Bench(tmp_path, UpstreamFailed("upstream_error", "scripted"))
    with pytest.raises(UpstreamFailed):
        await bench.run(stream=True)
    assert bench.audit.types() == ["request.admit", "response.abort"]


async def test_text_that_comes_slowly_is_released_after_max_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TextDelta(0, Channel.CONTENT, "only fifteen ch"), 0.5, *say("."))
    clock = asyncio.get_running_loop().time
    begun, first = clock(), 0.0
    async for step in bench.steps("hello", stream=True):
        if isinstance(step, ReleasedText) and not first:
            first = clock() - begun
            assert step.text == "only "
    assert first < 0.4


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@jumping
async def test_a_client_that_goes_away_leaves_one_closing_record_and_a_closed_upstream(
    tmp_path: Path, stream: bool, gone: bool
) -> None:
    """Who cancels while the client is there is shutting us down."""
    bench = Bench(tmp_path, *[TextDelta(0, Channel.CONTENT, "x" * 30)] * 3, 30.0, *say("never"))

    there = Client(is_gone=gone)

    async def client() -> None:
        async with aclosing(bench.steps("hello", there, stream=stream)) as steps:
            async for _ in steps:
                pass

    task = asyncio.create_task(client())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.audit.types()[-1] == "response.abort"
    code, where = ("client_gone", "client") if gone else ("shutting_down", "front")
    assert bench.audit.records[-1]["err"] == {"code": code, "where": where}
    assert bench.audit.types().count("response.abort") == 1
    assert bench.server.closed


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ["hello", "BAD"])
@jumping
async def test_whenever_the_client_goes_away_the_exchange_is_closed_exactly_once(
    tmp_path: Path, stream: bool, text: str
) -> None:
    """Cancelled at every moment, also while a record is on its way to the disk: never two ends, never none."""
    closings = []
    for moment in range(0, 400, 9):
        bench = Bench(tmp_path, *say("fine", " and long enough for a window"), audit=MemoryAudit(slow_s=0.05))
        bench.harm.slow_s = 0.05

        async def client(bench: Bench = bench) -> None:
            async with aclosing(bench.steps(text, stream=stream)) as steps:
                async for _ in steps:
                    pass

        closings.append((moment, bench, asyncio.create_task(client())))
    started = asyncio.get_running_loop().time()
    for moment, _, task in closings:
        await asyncio.sleep(started + moment / 1000 - asyncio.get_running_loop().time())
        task.cancel()
    await asyncio.wait([task for _, _, task in closings])
    for moment, bench, _ in closings[1:]:
        ends = [record["type"] for record in bench.audit.records if record["stage"] == "complete"]
        assert len(ends) == 1, (moment, bench.audit.types())
        assert bench.audit.types()[-1] == ends[0], (moment, bench.audit.types())


async def test_a_consumer_that_stops_at_the_admission_still_closes_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say("fine"))
    async with aclosing(bench.steps("hello")) as steps:
        async for step in steps:
            assert isinstance(step, Admitted)
            break
    assert bench.audit.types() == ["request.admit", "response.abort"]
    assert bench.server.bodies == []


async def test_records_hold_no_text(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say("CANARY-ANSWER"))
    await bench.run("CANARY-PROMPT", stream=True)
    assert "CANARY" not in json.dumps(bench.audit.records)


async def test_many_parts_spill_into_earlier_records_and_none_is_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say("fine"))
    categories = tuple(sorted((f"S{number}", 123_456) for number in range(1, 15)))
    bench.harm.phrases = {"m": Verdict(10, categories)}
    messages = [{"role": "user", "content": f"m{i}"} for i in range(650)]
    await bench.run(messages=messages)
    findings = [r for r in bench.audit.records if r["type"] == "request.findings"]
    admit = next(r for r in bench.audit.records if r["type"] == "request.admit")
    rows = [row for r in findings for row in r["rows"]] + [row for g in admit["guards"] for row in g["rows"]]
    assert len({row["part"] for row in rows}) == 650
    assert max(len(json.dumps(r)) for r in bench.audit.records) < 32 * 1024
