"""A disk that really is full: a small file system where one can be mounted, a limit on file size elsewhere."""

from __future__ import annotations

import asyncio
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.audit.errors import AuditError, AuditUnavailable
from gateway.audit.log import AuditLog, AuditSettings
from gateway.audit.merkle import leaf_hash
from gateway.audit.verify import load_trust, verify
from gateway.audit.writer import Receipt
from tests.gateway.audit.harness import ORIGIN, lines_in, settings_in, types_in, verified

RECORD = {"type": "auth.fail", "note": "x" * 1500}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no permission to mount; the limit on file size below covers the same path")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def fill(log: AuditLog) -> list[Receipt]:
    promised: list[Receipt] = []
    for _ in range(1000):
        try:
            promised.append(await log.append(RECORD))
        except AuditUnavailable:
            return promised
    raise AssertionError("the disk never got full")


async def until_back(log: AuditLog) -> Receipt:
    for _ in range(1000):
        with suppress(AuditUnavailable):
            return await log.append({"type": "after"})
        await asyncio.sleep(0.01)
    raise AssertionError("the log did not come back")


async def test_full_disk_refuses_then_goes_on_when_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(32 * 1024))
    key = tmp_path / "keys" / "audit.pem"
    log = AuditLog.open(AuditSettings(small_disk / "log", ORIGIN, key, probe_interval_s=0.02))
    promised = await fill(log)
    assert not log.healthy
    with pytest.raises(AuditUnavailable):
        await log.append({"type": "small"})
    ballast.unlink()
    promised.append(await until_back(log))
    await log.close()
    leaves = [leaf_hash(line) for line in lines_in(small_disk)]
    assert all(leaves[receipt.seq] == receipt.leaf for receipt in promised)
    assert types_in(small_disk)[-3:] == ["audit.fail", "after", "gateway.stop"]
    report = verify(small_disk / "log", load_trust(tmp_path / "keys" / "test-one-audit.vkey"))
    assert report.finding is None


async def test_full_disk_at_start_is_refused(tmp_path: Path, small_disk: Path) -> None:
    settings = AuditSettings(small_disk / "log", ORIGIN, tmp_path / "keys" / "audit.pem")
    await AuditLog.open(settings).close()
    with suppress(OSError):
        (small_disk / "ballast").write_bytes(bytes(1024 * 1024))
    with pytest.raises(AuditError, match="No space left") as caught:
        AuditLog.open(settings)
    assert caught.value.code == "audit_dir_unwritable"
    (small_disk / "ballast").unlink()
    await AuditLog.open(settings).close()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_limit_on_file_size_cuts_a_write_short_and_nothing_promised_is_lost(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path, probe_interval_s=0.02))
    with file_size_limit(100_000):
        promised = await fill(log)
    promised.append(await until_back(log))
    await log.close()
    leaves = [leaf_hash(line) for line in lines_in(tmp_path)]
    assert all(leaves[receipt.seq] == receipt.leaf for receipt in promised)
    assert verified(tmp_path).finding is None


async def test_the_reserve_lets_open_exchanges_finish_on_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    key = tmp_path / "keys" / "audit.pem"
    settings = AuditSettings(
        small_disk / "log", ORIGIN, key, probe_interval_s=0.02, reserve_bytes=64 * 1024, low_space=0.01
    )
    log = AuditLog.open(settings)
    await log.append({"type": "request.admit", "stage": "admit", "req": "a"})
    ballast = small_disk / "ballast"
    with suppress(OSError):
        ballast.write_bytes(bytes(1024 * 1024))
    # What is left in the pages of the segment is used up first; then the write that fails releases the reserve.
    for _ in range(10):
        await log.append({**RECORD, "stage": "complete"})
    await log.append({"type": "response.complete", "stage": "complete", "req": "a"})
    assert (small_disk / "log" / "reserve").stat().st_size == 0
    assert log.state == "audit_no_space"
    with pytest.raises(AuditUnavailable, match="no room for another exchange"):
        await log.append({"type": "request.admit", "stage": "admit", "req": "b"})
    ballast.unlink()
    for _ in range(500):
        if log.state == "ok":
            break
        await asyncio.sleep(0.01)
    await log.append({"type": "request.refuse", "stage": "complete", "req": "c"})
    await log.close()
    assert (small_disk / "log" / "reserve").stat().st_size == 64 * 1024
    report = verify(small_disk / "log", load_trust(tmp_path / "keys" / "test-one-audit.vkey"))
    assert report.finding is None
