"""How many places have to hold a record, and what the log does when too few do."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.audit.errors import AuditUnavailable, Unconfirmed
from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from gateway.audit.sinks.group import QuorumLost, Sinks
from gateway.audit.sinks.settings import DirectoryPlace, SinkSettings, SinksSettings
from tests.doubles import HandClock
from tests.gateway.audit.harness import lines_in, records_in, small_log, types_in
from tests.gateway.audit.sinks.places import (
    CopyFaults,
    Gate,
    ScriptedSink,
    directory_sinks,
    log_settings,
    proved,
    same_files,
    until,
    worker_of,
)

HOUR_S = 3600.0
"""A deadline that no test waits for: who waited for it would be stopped long before."""


def group_of(
    path: Path,
    require: int,
    *sinks: ScriptedSink,
    required: str = "",
    deadline_s: float = 0.3,
    clock: Callable[[], float] = time.monotonic,
) -> Sinks:
    """Sinks named `a`, `b`, … over a small log; nothing is started."""
    small_log(path)
    changed = threading.Condition()
    workers = [
        worker_of(path, sink, changed, clock, name=name, required=name == required, deadline_s=deadline_s)
        for name, sink in zip("abc", sinks, strict=False)
    ]
    return Sinks(workers, require, changed)


def hanging() -> ScriptedSink:
    gate = Gate()
    gate.open.clear()
    return ScriptedSink(gate)


def let_go(sink: ScriptedSink) -> None:
    """It answers from here on."""
    sink.behave.open.set()  # type: ignore[attr-defined]


def test_nobody_waits_for_a_sink_that_no_record_needs(tmp_path: Path) -> None:
    sink = hanging()
    sinks = group_of(tmp_path, 1, sink, deadline_s=HOUR_S)
    sinks.start(5)
    sinks.confirm(6)
    let_go(sink)
    sinks.close()


def test_any_of_several_sinks_may_make_up_the_number(tmp_path: Path) -> None:
    sink = hanging()
    sinks = group_of(tmp_path, 2, sink, ScriptedSink(), deadline_s=HOUR_S)
    sinks.start(5)
    sinks.confirm(6)
    sinks.confirm(7)
    let_go(sink)
    sinks.close()


def test_required_sink_is_needed_whatever_the_others_hold(tmp_path: Path) -> None:
    sink = hanging()
    sinks = group_of(tmp_path, 1, sink, ScriptedSink(), required="a")
    sinks.start(5)
    with pytest.raises(QuorumLost, match="`a`") as caught:
        sinks.confirm(6)
    assert caught.value.where == "a"
    let_go(sink)
    sinks.close()


def test_deadline_is_waited_for(tmp_path: Path) -> None:
    sink = hanging()
    sinks = group_of(tmp_path, 2, sink)
    sinks.start(5)
    began = time.monotonic()
    with pytest.raises(QuorumLost):
        sinks.confirm(6)
    assert time.monotonic() - began >= 0.3
    let_go(sink)
    sinks.close()


def test_who_was_waited_for_in_vain_is_not_waited_for_again_by_each_batch(tmp_path: Path) -> None:
    sink, clock = hanging(), HandClock()
    sinks = group_of(tmp_path, 2, sink, deadline_s=HOUR_S, clock=clock)
    sinks.start(5)
    clock.now += HOUR_S + 1
    with pytest.raises(QuorumLost):
        sinks.confirm(6)
    lost = sinks.lost(6)
    assert lost is not None
    assert lost.where == "a"
    let_go(sink)
    until(lambda: sinks.lost(6) is None)
    sinks.confirm(7)
    sinks.close()


def test_loss_and_return_of_a_sink_are_told_once_each(tmp_path: Path) -> None:
    sink = hanging()
    sinks = group_of(tmp_path, 1, sink, deadline_s=0.05)
    sinks.start(5)
    assert sinks.reports() == []
    until(lambda: not sinks.states()[0].up)
    down = {"name": "a", "lag": 5, "code": "sink_late"}
    assert sinks.reports() == [{"type": "audit.sink_down", "stage": "complete", "sink": down}]
    assert sinks.reports() == []
    let_go(sink)
    until(lambda: sinks.states()[0].up)
    up = {"name": "a", "lag": 0}
    assert sinks.reports() == [{"type": "audit.sink_up", "stage": "complete", "sink": up}]
    sinks.close()


async def test_missed_quorum_fails_its_callers_and_the_return_is_told_first(tmp_path: Path) -> None:
    failing = threading.Event()
    files = CopyFaults(tmp_path / "copy", lambda name: errno.EIO if failing.is_set() else None)
    sinks = directory_sinks(tmp_path, deadline_s=0.3)
    log = AuditLog.open(log_settings(tmp_path, sinks), files=files)
    await log.append({"type": "auth.fail", "n": 1})
    failing.set()
    with pytest.raises(Unconfirmed, match="sink `copy`") as caught:
        await log.append({"type": "auth.fail", "n": 2})
    assert caught.value.seq == 2
    assert not log.healthy
    for _ in range(3):
        with pytest.raises(AuditUnavailable):
            await log.append({"type": "auth.fail", "n": 3})
    failing.clear()
    await asyncio.to_thread(until, lambda: log.healthy)
    await log.append({"type": "auth.fail", "n": 4})
    await log.close()
    records = records_in(tmp_path)
    assert [record.get("n") for record in records if record["type"] == "auth.fail"] == [1, 2, 4]
    fail = next(record for record in records if record["type"] == "audit.fail")
    assert fail["err"] == {"code": "audit_unavailable", "where": "copy", "refused": 3}
    assert fail["seq"] == 3, "nothing stands between the last refused record and what tells of it"
    same_files(tmp_path / "log", tmp_path / "copy")
    proved(tmp_path)


async def test_loss_of_a_sink_that_is_not_needed_is_two_records_and_no_outage(tmp_path: Path) -> None:
    failing = threading.Event()
    files = CopyFaults(tmp_path / "copy", lambda name: errno.EIO if failing.is_set() else None)
    log = AuditLog.open(log_settings(tmp_path, directory_sinks(tmp_path, 1, deadline_s=0.1)), files=files)
    failing.set()
    for number in range(40):
        await log.append({"type": "auth.fail", "n": number})
        await asyncio.sleep(0.01)
    await asyncio.to_thread(until, lambda: "audit.sink_down" in types_in(tmp_path))
    failing.clear()
    await asyncio.to_thread(until, lambda: "audit.sink_up" in types_in(tmp_path))
    await log.close()
    kinds = types_in(tmp_path)
    assert (kinds.count("audit.sink_down"), kinds.count("audit.sink_up"), kinds.count("audit.fail")) == (1, 1, 0)
    same_files(tmp_path / "log", tmp_path / "copy")


class Script:
    """What each operation of the copy's disk does, in order; after its end everything works."""

    def __init__(self, outcomes: list[int | float | None]) -> None:
        self._outcomes = iter(outcomes)

    def __call__(self, name: str) -> int | float | None:
        return next(self._outcomes, None)


OUTCOMES = st.one_of(st.none(), st.none(), st.sampled_from([errno.EIO, errno.ENOSPC]), st.sampled_from([0.001, 0.08]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(outcomes=st.lists(OUTCOMES, max_size=60), tasks=st.integers(1, 6))
def test_no_acknowledged_record_is_missing_in_a_required_sink(outcomes: list[int | float | None], tasks: int) -> None:
    """Whatever its disk does and whenever: under load, through losses and returns."""
    with TemporaryDirectory() as scratch:
        path = Path(scratch)
        acknowledged = asyncio.run(_load(path, Script(outcomes), tasks))
        leaves = [leaf_hash(line) for line in lines_in(path)]
        for seq, leaf in acknowledged.items():
            assert leaves[seq] == leaf
        proved(path)
        same_files(path / "log", path / "copy")


async def _load(path: Path, script: Script, tasks: int) -> dict[int, bytes]:
    copy = path / "copy"
    copy.mkdir()
    place = SinkSettings("copy", DirectoryPlace(copy), required=True, deadline_s=0.05, retry_s=0.01)
    sinks = SinksSettings((place,), 2, path / "state")
    log = AuditLog.open(log_settings(path, sinks, probe_interval_s=0.01), files=CopyFaults(copy, script))
    acknowledged: dict[int, bytes] = {}

    async def append(name: int) -> None:
        for number in range(12):
            try:
                receipt = await log.append({"type": "auth.fail", "n": name * 100 + number})
            except AuditUnavailable:
                await asyncio.sleep(0.01)
                continue
            acknowledged[receipt.seq] = receipt.leaf
            held = b"".join(file.read_bytes() for file in sorted((copy / "seg").glob("*.jsonl"))).splitlines()
            assert leaf_hash(held[receipt.seq]) == receipt.leaf, "acknowledged before the sink held it"

    await asyncio.gather(*(append(name) for name in range(tasks)))
    for _ in range(400):
        if log.healthy and log.sinks[0].lag == 0:
            break
        await asyncio.sleep(0.01)
    await log.close()
    return acknowledged


async def test_two_copies_agree_after_a_start_that_finds_one_behind(tmp_path: Path) -> None:
    places = []
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        places.append(SinkSettings(name, DirectoryPlace(tmp_path / name), retry_s=0.05, deadline_s=0.5))
    only_left = log_settings(tmp_path, SinksSettings(tuple(places[:1]), 2, tmp_path / "state"))
    both = log_settings(tmp_path, SinksSettings(tuple(places), 3, tmp_path / "state"))
    for chosen in (only_left, both):
        log = AuditLog.open(chosen)
        await asyncio.gather(*(log.append({"type": "auth.fail", "n": number}) for number in range(30)))
        await log.close()
    same_files(tmp_path / "left", tmp_path / "right")
    proved(tmp_path, "right")
