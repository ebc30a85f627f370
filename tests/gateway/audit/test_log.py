"""The log as the pipeline uses it: what an acknowledged append means, and what happens when the disk fails."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from gateway.audit.errors import AuditError, AuditUnavailable, RecordError
from gateway.audit.files import OsFiles
from gateway.audit.log import AuditLog, AuditSettings
from gateway.audit.merkle import Tree, leaf_hash
from gateway.audit.writer import Receipt


def settings_in(path: Path) -> AuditSettings:
    return AuditSettings(path / "log", "test/one/audit", path / "keys" / "audit.pem", {"id": "one", "version": "0"})


def lines_in(path: Path) -> list[bytes]:
    return [line for file in sorted((path / "log" / "seg").glob("*.jsonl")) for line in file.read_bytes().splitlines()]


def types_in(path: Path) -> list[str]:
    return [json.loads(line)["type"] for line in lines_in(path)]


async def test_acknowledged_record_is_on_disk_under_its_number_and_hash(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path))
    receipt = await log.append({"type": "auth.fail", "http": {"status": 401}})
    line = lines_in(tmp_path)[receipt.seq]
    assert receipt.leaf == leaf_hash(line)
    assert json.loads(line)["http"] == {"status": 401}
    await log.close()
    assert types_in(tmp_path) == ["gateway.start", "auth.fail", "gateway.stop"]


async def test_many_appends_share_a_sync_and_keep_one_order(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path))
    receipts = await asyncio.gather(*(log.append({"type": "auth.fail", "n": n}) for n in range(200)))
    assert [receipt.seq for receipt in receipts] == list(range(1, 201))
    assert log.head[0] == 201
    await log.close()
    tree = Tree()
    for line in lines_in(tmp_path):
        tree.push(leaf_hash(line))
    assert log.head == (tree.size, tree.root())


async def test_callers_in_several_event_loops_each_get_their_own_receipts(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path))

    async def append(who: str) -> list[Receipt]:
        return await asyncio.gather(*(log.append({"type": "auth.fail", "who": who, "n": n}) for n in range(60)))

    results = await asyncio.gather(append("here"), asyncio.to_thread(asyncio.run, append("there")))
    lines = lines_in(tmp_path)
    for who, receipts in zip(("here", "there"), results, strict=True):
        for n, receipt in enumerate(receipts):
            record = json.loads(lines[receipt.seq])
            assert (record["who"], record["n"], leaf_hash(lines[receipt.seq])) == (who, n, receipt.leaf)
    await log.close()


async def test_record_that_does_not_fit_fails_alone(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path))
    for bad in ({}, {"type": "x", "f": 0.5}, {"type": "x", "seq": 1}, {"type": "x", "s": "\ud800"}):
        with pytest.raises(RecordError):
            await log.append(bad)  # type: ignore[arg-type]
    results = await asyncio.gather(
        log.append({"type": "a"}),
        log.append({"type": "b", "big": "y" * 40_000}),
        log.append({"type": "c"}),
        return_exceptions=True,
    )
    assert isinstance(results[1], RecordError)
    assert types_in(tmp_path) == ["gateway.start", "a", "c"]
    await log.close()


async def test_second_process_is_refused(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path))
    with pytest.raises(AuditError, match="in use") as caught:
        AuditLog.open(settings_in(tmp_path))
    assert caught.value.code == "audit_locked"
    await log.close()
    await AuditLog.open(settings_in(tmp_path)).close()


async def test_append_after_close_is_unavailable(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path))
    await log.close()
    assert not log.healthy
    with pytest.raises(AuditUnavailable, match="closed"):
        await log.append({"type": "late"})


class BrokenFiles(OsFiles):
    """A disk that fails as nobody foresaw."""

    is_broken = False

    def datasync(self, descriptor: int) -> None:
        if self.is_broken:
            raise MemoryError
        super().datasync(descriptor)


# The thread ends as it should for a bug: with its traceback on stderr.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_nobody_waits_for_ever_for_a_writer_that_fails_as_nobody_foresaw(tmp_path: Path) -> None:
    files = BrokenFiles()
    log = AuditLog.open(settings_in(tmp_path), files=files)
    files.is_broken = True
    async with asyncio.timeout(5):
        with pytest.raises(AuditUnavailable, match="writer thread failed: MemoryError"):
            await log.append({"type": "auth.fail"})
        with pytest.raises(AuditUnavailable, match="writer thread failed: MemoryError"):
            await log.append({"type": "late"})
    assert log.state == "audit_unavailable"
    await log.close()
    assert not log.is_running


async def test_cancelled_append_is_written_all_the_same(tmp_path: Path) -> None:
    """So that a caller who gave up knows what the log holds: exactly what was handed over."""
    log = AuditLog.open(settings_in(tmp_path))
    waiting = asyncio.ensure_future(log.append({"type": "handed-over"}))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await log.close()
    assert types_in(tmp_path) == ["gateway.start", "handed-over", "gateway.stop"]


async def test_head_is_signed_again_while_nothing_happens(tmp_path: Path) -> None:
    settings = AuditSettings(tmp_path / "log", "a", tmp_path / "audit.pem", idle_checkpoint_s=0.02)
    log = AuditLog.open(settings)
    await asyncio.sleep(0.3)
    await log.close()
    assert (tmp_path / "log" / "checkpoints.log").read_bytes().count(b"\n1\n") > 3


def test_settings_that_would_copy_the_key_with_the_log_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside the log directory"):
        AuditSettings(tmp_path, "a", tmp_path / "keys" / "audit.pem")
    with pytest.raises(ValueError, match="origin"):
        AuditSettings(tmp_path / "log", "a b", tmp_path / "audit.pem")


async def test_a_log_whose_directory_is_gone_is_not_begun_again(tmp_path: Path) -> None:
    await AuditLog.open(settings_in(tmp_path)).close()
    (tmp_path / "log").rename(tmp_path / "elsewhere")
    with pytest.raises(AuditError) as caught:
        AuditLog.open(settings_in(tmp_path))
    assert caught.value.code == "audit_rollback"
    # What the refused start has made is an empty directory.
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "elsewhere").rename(tmp_path / "log")
    log = AuditLog.open(settings_in(tmp_path))
    assert log.head[0] > 2
    await log.close()
