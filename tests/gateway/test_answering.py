"""An answer on its way out: every early end has its code, every choice its own, and no half of a secret leaves."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from gateway.disconnect import Client
from gateway.errors import GatewayError, Unavailable, UpstreamFailed, UpstreamTimeout
from gateway.exchange import Channel, Ended, Finish, ReleasedText, TextDelta, TokenLogprob, ToolDelta, Usage
from gateway.pipeline import Admitted, Blocked
from guards.verdict import PPM, Part, Span, Verdict
from tests.doubles import MemoryAudit, ScriptedGuard
from tests.gateway.test_pipeline import Bench, released, say


def text(piece: str, choice: int = 0) -> TextDelta:
    return TextDelta(choice, Channel.CONTENT, piece)


class Finder(ScriptedGuard):
    """Finds a passage from its first word to its last, once both are there."""

    async def judge(self, parts: Any, *_: Any) -> list[Verdict]:
        return [self._verdict(part) for part in parts]

    def _verdict(self, part: Part) -> Verdict:
        first, last = part.text.find("FIRST"), part.text.find("LAST")
        spans = (Span(first, last + 4, "passage"),) if 0 <= first < last else ()
        return Verdict(PPM if spans else 0, (), spans)


ENDS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("upstream_cut_off", (text("half"),), {}, "upstream"),
    ("upstream_timeout", (text("half"), UpstreamTimeout("upstream_timeout", "scripted")), {}, "upstream"),
    ("upstream_broken", (text("half"), UpstreamFailed("upstream_broken", "scripted")), {}, "upstream"),
    ("upstream_bad_stream", (*say("all"), text("after the end")), {}, "upstream"),
    ("upstream_bad_stream", (ToolDelta(0, 0, "c", None, "{}"), Finish(0, "tool_calls")), {}, "upstream"),
    ("answer_too_long", (text("x" * 200_000),), {}, "upstream"),
    ("audit_unavailable", (Unavailable("audit_unavailable", "scripted"),), {}, "audit"),
    ("internal_error", (KeyError("a bug"),), {}, "front"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("code", "events", "fields", "where"), ENDS, ids=[row[0] for row in ENDS])
async def test_every_early_end_has_its_code_and_one_record(
    tmp_path: Path, code: str, events: tuple[Any, ...], fields: dict[str, Any], where: str, stream: bool
) -> None:
    bench = Bench(tmp_path, *events)
    with pytest.raises((GatewayError, KeyError)):
        await bench.run(stream=stream, **fields)
    closing = bench.audit.records[-1]
    assert bench.audit.types().count("response.abort") == 1
    assert closing["err"] == {"code": code, "where": where}


async def test_a_consumer_that_breaks_is_an_internal_error_and_no_hang_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *say("some words " * 10))

    async def consume() -> None:
        async with aclosing(bench.steps("hello", stream=True)) as steps:
            async for step in steps:
                if isinstance(step, ReleasedText):
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await consume()
    assert bench.audit.records[-1]["err"] == {"code": "internal_error", "where": "front"}


@pytest.mark.parametrize("gone", [False, True])
async def test_who_is_cancelled_while_the_client_reads_slowly_says_why(tmp_path: Path, gone: bool) -> None:
    """The generator waits for nothing itself: it is closed from outside, and still knows."""
    bench, client = Bench(tmp_path, *say(*["012345678 "] * 20)), Client()

    async def consume() -> None:
        async with aclosing(bench.steps("hello", client, stream=True)) as steps:
            async for step in steps:
                if isinstance(step, ReleasedText):
                    await asyncio.sleep(30)

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.1)
    client.is_gone = gone
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.audit.records[-1]["err"]["code"] == ("client_gone" if gone else "shutting_down")


@pytest.mark.parametrize(("gone", "code", "status"), [(True, "client_gone", 499), (False, "shutting_down", 503)])
async def test_a_request_that_is_cut_off_while_it_is_judged_is_refused_for_its_reason(
    tmp_path: Path, gone: bool, code: str, status: int
) -> None:
    bench = Bench(tmp_path)
    bench.harm.slow_s = 30
    task = asyncio.create_task(_drain(bench.steps("hello", Client(gone))))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [record] = bench.audit.records
    assert (record["type"], record["err"]["code"], record["http"]["status"]) == ("request.refuse", code, status)


async def _drain(steps: Any) -> None:
    async with aclosing(steps):
        async for _ in steps:
            pass


async def test_a_passage_that_is_longer_than_the_holdback_is_blocked_when_its_end_comes(tmp_path: Path) -> None:
    """No guard can know a passage before its end. Its beginning has left; the rest does not, and the record says so."""
    bench = Bench(
        tmp_path,
        *[e for piece in ("FIRST " + "and on " * 20, "to the LAST word.") for e in (text(piece), 0.02)],
        Finish(0, "stop"),
    )
    bench.in_force.panel._guards["keys"] = Finder("secrets")
    steps = await bench.run(stream=True)
    assert "LAST" not in released(steps)
    [blocked] = [step for step in steps if isinstance(step, Blocked)]
    assert (blocked.decision.code, blocked.choice) == ("redaction_impossible", None)
    assert bench.audit.records[-1]["decision"]["code"] == "redaction_impossible"


async def test_the_record_of_a_window_says_what_became_of_each_choice(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        text("a" * 30),
        text("so BAD" + "b" * 30, 1),
        0.05,
        text("c" * 30),
        Finish(0, "stop"),
        Usage({"total_tokens": 9}),
    )
    steps = await bench.run(stream=True, n=2)
    assert [type(step) for step in steps if not isinstance(step, ReleasedText)] == [Admitted, Blocked, Ended, Usage]
    assert released(steps) == "a" * 30 + "c" * 30
    first, *_, last = bench.audit.records[1:]
    assert first["type"] == "response.progress"
    assert [(row["choice"], row["action"], row["code"]) for row in first["choices"]] == [
        (0, "allow", None), (1, "block", "unsafe_content"),
    ]  # fmt: skip
    assert (first["decision"]["outcome"], first["decision"]["rules"]) == ("block", ["harm"])
    assert (last["type"], last["decision"]["outcome"], last["stream"]["ended_by"]) == ("response.complete", "allow", "")
    assert [row["outcome"] for row in last["choices"]] == ["allow", "block"]
    assert bench.audit.types().count("response.complete") == 1


async def test_logprobs_are_released_with_their_text(tmp_path: Path) -> None:
    events = [TextDelta(0, Channel.CONTENT, p, (TokenLogprob(p.encode(), -0.5),)) for p in ["word "] * 30]
    for stream in (False, True):
        bench = Bench(tmp_path, *events, Finish(0, "stop"))
        steps = [step for step in await bench.run(stream=stream, logprobs=True) if isinstance(step, ReleasedText)]
        assert b"".join(token.data for step in steps for token in step.tokens).decode() == released(list(steps))
        bench = Bench(tmp_path, *events, Finish(0, "stop"))
        assert not any(step.tokens for step in await bench.run(stream=stream) if isinstance(step, ReleasedText))


async def test_a_log_that_fails_for_the_closing_record_of_an_abort_changes_nothing_for_who_is_gone(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, 30.0, audit=MemoryAudit(fail_from=1))
    task = asyncio.create_task(_drain(bench.steps("hello", Client(is_gone=True), stream=True)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.server.closed
