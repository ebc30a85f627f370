"""The audit log as the routes see it: numbers, an outage as 503, and strangers who cannot fill the disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.errors import AuditUnavailable, RecordError, Unconfirmed
from gateway.audit.writer import Receipt
from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.records import Records
from tests.doubles import HandClock, MemoryLog


def records(log: MemoryLog, clock: Callable[[], float] = time.monotonic) -> tuple[Records, Metrics]:
    metrics = Metrics()
    return Records(log, metrics, 10, clock), metrics  # type: ignore[arg-type] # a double


def value(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(name) or 0


async def test_a_record_that_is_durable_has_a_number_and_is_counted() -> None:
    appended, metrics = records(MemoryLog())
    assert (await appended.append({"type": "a"})).seq == 0
    receipt, proof = await appended.append_signed({"type": "b"})
    assert (receipt.seq, proof) == (1, "memory; i=1")
    assert value(metrics, "gatehouse_audit_records_total") == 2
    assert appended.state == "ok"


async def test_decisions_that_lacked_a_verdict_are_counted_by_detector() -> None:
    appended, metrics = records(MemoryLog())
    errors = [{"detector": "harm", "kind": "timeout"}]
    await appended.append({"type": "request.refuse", "decision": {"errors": errors}})
    await appended.append({"type": "request.admit", "decision": {"errors": []}})
    labels = {"detector": "harm", "kind": "timeout"}
    assert metrics.registry.get_sample_value("gatehouse_guard_errors_total", labels) == 1


async def test_a_log_that_cannot_write_is_503_for_the_client() -> None:
    appended, metrics = records(MemoryLog(fail_from=0))
    with pytest.raises(Unavailable) as error:
        await appended.append({"type": "a"})
    assert (error.value.code, error.value.status) == ("audit_unavailable", 503)
    assert value(metrics, "gatehouse_audit_records_total") == 0
    assert appended.state == "audit_unavailable"


async def test_a_record_that_the_format_refuses_is_a_bug_not_an_outage() -> None:
    appended, _ = records(MemoryLog())
    with pytest.raises(RecordError):
        await appended.append({"type": "a", "score": 0.5})


async def test_a_flood_of_failed_logins_leaves_few_records_and_loses_no_count() -> None:
    log, clock = MemoryLog(), HandClock()
    appended, metrics = records(log, clock)
    for _ in range(500):
        await appended.append_failed_login({"type": "auth.fail"})
    assert 10 <= len(log.records) < 30
    assert value(metrics, "gatehouse_auth_records_suppressed_total") == 500 - len(log.records)
    clock.now += 0.15
    await appended.append_failed_login({"type": "auth.fail"})
    told = sum(record["suppressed"] for record in log.records)
    assert told + len(log.records) == 501, "the next record says how many were left out"


async def test_a_failed_login_during_an_outage_is_an_outage() -> None:
    appended, _ = records(MemoryLog(fail_from=0))
    with pytest.raises(Unavailable):
        await appended.append_failed_login({"type": "auth.fail"})


async def test_suppressed_logins_are_told_even_when_the_first_telling_failed() -> None:
    log, clock = MemoryLog(), HandClock()
    appended, _ = records(log, clock)
    for _ in range(60):
        await appended.append_failed_login({"type": "auth.fail"})
    before = len(log.records)
    log.fail_from = before
    clock.now += 0.15
    with pytest.raises(Unavailable):
        await appended.append_failed_login({"type": "auth.fail"})
    log.fail_from = None
    clock.now += 0.15
    await appended.append_failed_login({"type": "auth.fail"})
    assert log.records[-1]["suppressed"] >= 60 - before


class FullLog(MemoryLog):
    """Has no room for another exchange, but for what ends one."""

    has_room = False

    @property
    def state(self) -> str:
        return "ok" if self.has_room else "audit_no_space"


async def test_refusals_do_not_fill_what_is_left_of_the_disk() -> None:
    """Room is kept for the ends of exchanges that are open, and a flood of requests must not take it."""
    log = FullLog()
    appended, metrics = records(log)
    log.has_room = True
    await appended.append({"type": "request.admit", "stage": "admit", "req": "open"})
    log.has_room = False
    refused = 0
    for number in range(500):
        try:
            await appended.append({"type": "request.refuse", "stage": "complete", "req": f"r{number}"})
        except Unavailable:
            refused += 1
        await appended.append_failed_login({"type": "auth.fail"})
    assert len(log.records) <= 12
    assert refused > 480
    with pytest.raises(Unavailable):
        await appended.append({"type": "request.findings", "stage": "progress", "req": "r0"})
    await appended.append({"type": "request.findings", "stage": "progress", "req": "open"})
    await appended.append({"type": "request.refuse", "stage": "complete", "req": "open"})
    assert log.records[-1]["req"] == "open", "what ends an exchange is always recorded"
    log.has_room = True
    await appended.append({"type": "request.admit", "stage": "admit", "req": "next"})
    told = sum(record.get("suppressed", 0) for record in log.records if record["type"] != "auth.fail")
    assert told == value(metrics, "gatehouse_refusal_records_suppressed_total") >= refused


async def test_an_exchange_whose_end_the_log_did_not_take_is_ended_when_it_takes_records_again() -> None:
    log = MemoryLog()
    appended, _ = records(log)
    await appended.append({"type": "request.admit", "stage": "admit", "req": "a"})
    log.fail_from = 1
    for kind in ("response.complete", "response.abort"):
        with pytest.raises(Unavailable):
            await appended.append({"type": kind, "stage": "complete", "req": "a"})
    await appended.settle()
    assert len(log.records) == 1
    log.fail_from = None
    await appended.settle()
    await appended.settle()
    assert [(record["type"], record["req"]) for record in log.records[1:]] == [("response.orphan", "a")]
    with pytest.raises(Unavailable):
        await appended.append({"type": "response.abort", "stage": "complete", "req": "a"})
    assert len(log.records) == 2, "one end"


class Flaky(MemoryLog):
    """Takes a record, refuses it, or keeps it without the second places, as it is told for each in turn."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.told = told

    async def append(self, record: Mapping[str, Any]) -> Receipt:
        how = self.told.pop() if self.told else "taken"
        if how == "refused":
            raise AuditUnavailable("scripted")
        receipt = await super().append(record)
        if how == "kept":
            raise Unconfirmed("scripted", receipt.seq)
        return receipt


@given(told=st.lists(st.sampled_from(["taken", "refused", "kept"]), max_size=12), settles=st.booleans())
@settings(max_examples=60, deadline=None)
async def test_what_was_admitted_has_one_end_whatever_the_log_takes(told: list[str], settles: bool) -> None:
    log = Flaky(told)
    appended, _ = records(log)
    for request in "ab":
        # As an answer does: an end that is refused is followed by an abort.
        for kind in ("request.admit", "response.progress", "response.complete", "response.abort"):
            stage = {"request.admit": "admit", "response.progress": "progress"}.get(kind, "complete")
            try:
                await appended.append({"type": kind, "stage": stage, "req": request})
            except Unavailable:
                if kind == "request.admit":
                    break
                if settles:
                    await appended.settle()
            else:
                if kind == "response.complete":
                    break
    log.told.clear()
    await appended.settle()
    for request in "ab":
        kinds = [record["type"] for record in log.records if record["req"] == request]
        ends = [kind for kind in kinds if kind in ("response.complete", "response.abort", "response.orphan")]
        assert len(ends) == kinds.count("request.admit"), kinds
        assert kinds[-1:] == ends[-1:]
