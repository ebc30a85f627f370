"""Every operation of a short life fails once, and stays failed for a while: no promised record is ever lost."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.audit.errors import AuditError, AuditUnavailable
from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from gateway.audit.writer import Receipt
from tests.gateway.audit.harness import (
    FaultyFiles,
    exchange,
    lines_in,
    settings_in,
    small_log,
    types_in,
    verified,
)

QUICK = {"checkpoint_interval_s": 0.0, "probe_interval_s": 0.005, "reserve_bytes": 4096, "low_space": 1e-6}


def open_again(path: Path, files: FaultyFiles) -> AuditLog:
    """As a supervisor does: a start that was refused is tried again."""
    for _ in range(40):
        try:
            return AuditLog.open(settings_in(path, **QUICK), files=files)
        except AuditError as exc:
            problem = exc
    raise problem


async def one_life(path: Path, files: FaultyFiles) -> list[Receipt]:
    """Two starts of two exchanges each; whatever is refused is tried again. Returns what was promised."""
    promised = []
    for start in range(2):
        log = open_again(path, files)
        for number in range(2):
            for record in exchange(f"{start}-{number}"):
                promised.append(await append_until_taken(log, record))
        await log.close()
    return promised


async def append_until_taken(log: AuditLog, record: dict[str, object]) -> Receipt:
    while True:
        try:
            return await log.append(record)  # type: ignore[arg-type]
        except AuditUnavailable:
            await asyncio.sleep(0.002)


async def until_healthy(log: AuditLog) -> None:
    for _ in range(2000):
        if log.healthy:
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the log did not come back")


def check_promises(path: Path, promised: list[Receipt]) -> None:
    report = verified(path)
    assert report.finding is None, report.finding
    leaves = _leaves_that_count(path)
    for receipt in promised:
        assert leaves[receipt.seq] == receipt.leaf


def _leaves_that_count(path: Path) -> dict[int, bytes]:
    """The last line of each number: a lost segment's tail holds numbers that were given out again."""
    return {json.loads(line)["seq"]: leaf_hash(line) for line in lines_in(path) if line.endswith(b"}")}


async def count_operations(path: Path) -> list[str]:
    files = FaultyFiles()
    check_promises(path, await one_life(path, files))
    return files.done


@pytest.mark.parametrize(
    ("code", "short"), [(errno.EIO, False), (errno.ENOSPC, True)], ids=["input-output-error", "disk-full-short-write"]
)
async def test_single_fault_at_every_operation(tmp_path: Path, code: int, short: bool) -> None:
    operations = await count_operations(tmp_path / "clean")
    assert len(operations) > 60
    for number in range(len(operations)):
        place = tmp_path / str(number)
        files = FaultyFiles(lambda at, _, number=number: code if at == number else None, short)  # type: ignore[misc]
        check_promises(place, await one_life(place, files))


@pytest.mark.parametrize("name", ["write", "datasync", "open", "rename", "sync_directory", "truncate"])
async def test_disk_that_stays_bad_for_some_operations_refuses_and_recovers(tmp_path: Path, name: str) -> None:
    for begin in range(20, 60, 4):
        place = tmp_path / str(begin)
        files = FaultyFiles(
            lambda at, found, begin=begin: errno.EIO if found == name and begin <= at < begin + 25 else None  # type: ignore[misc]
        )
        check_promises(place, await one_life(place, files))


async def test_bad_disk_refuses_at_once_and_the_first_record_after_it_says_so(tmp_path: Path) -> None:
    bad = [False]
    files = FaultyFiles(lambda _, name: errno.ENOSPC if bad[0] and name == "write" else None, short=True)
    log = AuditLog.open(settings_in(tmp_path, **QUICK), files=files)
    bad[0] = True
    with capture_logs() as told:
        with pytest.raises(AuditUnavailable, match="No space left"):
            await log.append({"type": "auth.fail"})
        assert not log.healthy
        writes = len(files.done)
        for _ in range(100):
            with pytest.raises(AuditUnavailable, match="No space left"):
                await log.append({"type": "auth.fail"})
        assert files.done[writes:].count("write") < 50
        bad[0] = False
        await until_healthy(log)
        await log.append({"type": "after"})
    said = [line for line in told if line["event"] in ("audit_failed", "audit_recovered")]
    assert [line["event"] for line in said] == ["audit_failed", "audit_recovered"], "once each, not at each try"
    assert "No space left" in said[0]["problem"]
    await log.close()
    assert types_in(tmp_path) == ["gateway.start", "audit.fail", "after", "gateway.stop"]
    assert verified(tmp_path).exit == 0


async def test_disk_full_at_start_is_refused_and_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    small_log(tmp_path)
    before = lines_in(tmp_path)
    files = FaultyFiles(lambda _, name: errno.ENOSPC if name == "write" else None, short=True)
    with pytest.raises(AuditError, match="No space left") as caught:
        AuditLog.open(settings_in(tmp_path), files=files)
    assert caught.value.code == "audit_dir_unwritable"
    assert lines_in(tmp_path) == before
    await AuditLog.open(settings_in(tmp_path)).close()


async def test_read_only_disk_at_start_is_refused(tmp_path: Path) -> None:
    files = FaultyFiles(lambda _, name: errno.EROFS)
    with pytest.raises(AuditError, match="Read-only file system") as caught:
        AuditLog.open(settings_in(tmp_path), files=files)
    assert caught.value.code == "audit_dir_unwritable"


async def test_disk_that_hangs_refuses_new_records_and_keeps_the_waiting_one(tmp_path: Path) -> None:
    gate, hanging = threading.Event(), [False]

    class Hanging(FaultyFiles):
        def datasync(self, descriptor: int) -> None:
            if hanging[0]:
                gate.wait(30)
            super().datasync(descriptor)

    log = AuditLog.open(settings_in(tmp_path, stall_s=0.05), files=Hanging())
    hanging[0] = True
    waiting = asyncio.ensure_future(log.append({"type": "waiting"}))
    await asyncio.sleep(0.2)
    with pytest.raises(AuditUnavailable, match="not answered"):
        await log.append({"type": "refused"})
    assert not log.healthy
    gate.set()
    assert (await waiting).seq == 1
    await until_healthy(log)
    await log.close()
    assert types_in(tmp_path) == ["gateway.start", "waiting", "gateway.stop"]
