"""Readiness is what a probe saw just now: never a guess, never stuck, and each change of it is in the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.errors import Unavailable
from gateway.health import Health, Probe
from gateway.metrics import Metrics
from gateway.records import Records
from tests.doubles import MemoryLog, eventually


class Thing:
    """Something that is probed: works, fails, hangs or has a bug."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.hangs = False
        self.probed = 0

    async def probe(self) -> None:
        self.probed += 1
        if self.hangs:
            await asyncio.sleep(60)
        if self.failure is not None:
            raise self.failure


@asynccontextmanager
async def watching(log: MemoryLog, metrics: Metrics | None = None, **things: Probe) -> AsyncIterator[Health]:
    metrics = metrics or Metrics()
    records = Records(log, metrics)  # type: ignore[arg-type] # a double
    health = Health(things, records, metrics, every_s=0.01, patience_s=0.05)
    task = asyncio.create_task(health.watch())
    try:
        yield health
        assert not task.done(), "the watch ended"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def becomes(health: Health, **expected: str) -> None:
    await eventually(lambda: expected.items() <= health.state().items())


async def test_nothing_is_ready_before_it_was_seen() -> None:
    metrics = Metrics()
    health = Health({"engine": Thing().probe}, Records(MemoryLog(), metrics), metrics)  # type: ignore[arg-type]
    assert not health.ready
    assert health.state()["engine"] == "not probed yet"


async def test_changes_are_seen_both_ways_and_each_is_one_record() -> None:
    engine, log = Thing(), MemoryLog()
    async with watching(log, engine=engine.probe) as health:
        await becomes(health, engine="ok")
        assert health.ready
        engine.failure = Unavailable("upstream_unreachable", "scripted")
        await becomes(health, engine="upstream_unreachable")
        assert not health.ready
        probed = engine.probed
        await eventually(lambda: engine.probed > probed)
        engine.failure = None
        await becomes(health, engine="ok")
        await eventually(lambda: len(log.records) == 3)
    assert [(record["type"], record["err"]["code"]) for record in log.records] == [
        ("guard.up", "ok"), ("guard.down", "upstream_unreachable"), ("guard.up", "ok"),
    ]  # fmt: skip


async def test_a_probe_that_hangs_is_a_failure_and_holds_up_no_other() -> None:
    engine, host = Thing(), Thing()
    async with watching(MemoryLog(), engine=engine.probe, model_host=host.probe) as health:
        await becomes(health, engine="ok", model_host="ok")
        engine.hangs = True
        host.failure = Unavailable("loading", "scripted")
        await becomes(health, engine="no_answer", model_host="loading")


async def test_a_bug_in_a_probe_is_not_ready_and_the_watch_goes_on() -> None:
    engine = Thing()
    engine.failure = KeyError("canary")
    async with watching(MemoryLog(), engine=engine.probe) as health:
        await becomes(health, engine="probe_crashed")
        engine.failure = None
        await becomes(health, engine="ok")


async def test_a_log_that_cannot_write_is_not_ready_and_does_not_end_the_watch() -> None:
    engine, log = Thing(), MemoryLog(fail_from=0)
    async with watching(log, engine=engine.probe) as health:
        await becomes(health, engine="ok", audit="audit_unavailable")
        assert not health.ready
        log.fail_from = None
        await becomes(health, audit="ok")
        assert health.ready


async def test_a_process_that_drains_is_not_ready() -> None:
    async with watching(MemoryLog(), engine=Thing().probe) as health:
        await becomes(health, engine="ok")
        health.draining = True
        assert not health.ready
        assert health.state()["process"] == "draining"


async def test_the_metric_follows() -> None:
    engine, metrics = Thing(), Metrics()
    async with watching(MemoryLog(), metrics, engine=engine.probe) as health:
        await becomes(health, engine="ok")
        await eventually(lambda: metrics.registry.get_sample_value("gatehouse_ready") == 1)
        engine.failure = Unavailable("loading", "scripted")
        await becomes(health, engine="loading")
        await eventually(lambda: metrics.registry.get_sample_value("gatehouse_ready") == 0)


async def test_what_a_new_policy_needs_is_probed_from_then_on_and_what_it_does_not_is_forgotten() -> None:
    """A guard on a server joins with a reload: the gateway is not ready before that server was seen."""
    metrics, needs = Metrics(), dict[str, Probe]()
    records = Records(MemoryLog(), metrics)  # type: ignore[arg-type] # a double
    health = Health({"engine": Thing().probe}, records, metrics, more=lambda: needs, every_s=0.01)
    task = asyncio.create_task(health.watch())
    try:
        await becomes(health, engine="ok")
        assert health.ready
        server = Thing()
        server.failure = Unavailable("unreachable", "scripted")
        needs["guard_far"] = server.probe
        assert health.state()["guard_far"] == "not probed yet"
        assert not health.ready
        await becomes(health, guard_far="unreachable")
        server.failure = None
        await becomes(health, guard_far="ok")
        needs.clear()
        assert "guard_far" not in health.state()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_watch_that_ended_leaves_nothing_ready() -> None:
    """Whatever ended it: what was seen last says nothing of now."""
    metrics, asked = Metrics(), list[int]()

    def more() -> dict[str, Probe]:
        asked.append(1)
        return {"policy": Thing().probe} if len(asked) < 20 else 1 // 0  # type: ignore[return-value] # never returned

    records = Records(MemoryLog(), metrics)  # type: ignore[arg-type] # a double
    health = Health({"engine": Thing().probe}, records, metrics, more=more, every_s=0.001)
    with pytest.raises(ZeroDivisionError):
        await health.watch()
    asked.clear()
    assert health.own() == {"engine": "not probed yet", "policy": "not probed yet", "audit": "ok"}
    assert not health.ready


async def test_the_operational_log_says_why_a_probe_fails_and_quotes_no_server() -> None:
    async def expired() -> None:
        try:
            raise httpx.ConnectError("certificate has expired")
        except httpx.ConnectError as exc:
            raise Unavailable("away", "the model server cannot be reached") from exc

    async def garbled() -> None:
        try:
            raise httpx.RemoteProtocolError("illegal status line: bytearray(b'its words')")
        except httpx.RemoteProtocolError as exc:
            raise Unavailable("away", "the model server cannot be reached") from exc

    with capture_logs() as logs:
        async with watching(MemoryLog(), tls=expired, odd=garbled) as health:
            await becomes(health, tls="away", odd="away")
    problems = {line["probe"]: line["problem"] for line in logs if line["event"] == "probe_changed"}
    assert problems == {
        "tls": "the model server cannot be reached: certificate has expired",
        "odd": "the model server cannot be reached: RemoteProtocolError",
    }
