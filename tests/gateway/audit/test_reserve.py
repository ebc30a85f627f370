"""Room for the ends of what has begun: said when it gets scarce, refused to newcomers, given to those who finish."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.audit.errors import AuditUnavailable
from gateway.audit.files import Space
from gateway.audit.log import AuditLog
from gateway.audit.reserve import FILE, LOW, OK, REFUSING, Reserve
from tests.gateway.audit.harness import FaultyFiles, exchange, records_in, settings_in, types_in, verified

SIZE = 1000


@dataclass
class Disk(FaultyFiles):
    """As much room as the test says. What the reserve takes is taken from it."""

    room: int = 10_000
    looks: int = 0

    def allocate(self, descriptor: int, size: int) -> None:
        if size > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().allocate(descriptor, size)
        self.room -= size

    def truncate(self, descriptor: int, size: int) -> None:
        held = self.state(descriptor).size
        super().truncate(descriptor, size)
        self.room += held - size

    def space(self, path: Path) -> Space:
        self.looks += 1
        return Space(self.room, 20_000)


def reserve_on(disk: Disk, path: Path) -> Reserve:
    return Reserve(disk, path, SIZE, 0.25)


def test_the_room_is_taken_at_once_and_found_again_by_the_next_start(tmp_path: Path) -> None:
    disk = Disk()
    assert reserve_on(disk, tmp_path).look(0) == []
    assert (tmp_path / FILE).stat().st_size == SIZE
    assert disk.room == 9000
    again = reserve_on(disk, tmp_path)
    assert again.look(0) == []
    assert (disk.room, again.state, again.free) == (9000, OK, 9000)


def test_without_a_size_nothing_is_looked_at(tmp_path: Path) -> None:
    disk = Disk(room=0)
    reserve = Reserve(disk, tmp_path, 0, 0.25)
    assert reserve.look(0) == []
    assert (disk.looks, reserve.admits, reserve.release()) == (0, True, False)


def test_scarce_room_is_told_once_and_again_only_after_it_was_better(tmp_path: Path) -> None:
    disk = Disk()
    reserve = reserve_on(disk, tmp_path)
    told, now = [], 0.0
    for room in (9000, 4900, 4800, 5100, 4900, 5300, 4900):
        disk.room, now = room, now + 1
        if not (tmp_path / FILE).exists():
            disk.room += SIZE
        told.append([record["space"]["free"] for record in reserve.look(now)])  # type: ignore[index, call-overload]
    assert told == [[], [4900], [], [], [], [], [4900]]
    assert reserve.state == LOW
    assert reserve.admits


def test_the_disk_is_asked_once_a_second(tmp_path: Path) -> None:
    disk = Disk()
    reserve = reserve_on(disk, tmp_path)
    for tenth in range(25):
        reserve.look(tenth / 10)
    assert disk.looks == 4, "one more when the room was taken"


def test_below_the_reserve_nobody_begins_until_there_is_clearly_more(tmp_path: Path) -> None:
    disk = Disk()
    reserve = reserve_on(disk, tmp_path)
    reserve.look(0)
    states = []
    for now, room in enumerate((1000, 999, 1100, 1499, 1500, 1000), 1):
        disk.room = room
        reserve.look(now)
        states.append(reserve.admits)
    assert states == [True, False, False, False, True, True]


def test_the_room_is_given_once_and_taken_again_when_there_is_twice_as_much(tmp_path: Path) -> None:
    disk = Disk()
    reserve = reserve_on(disk, tmp_path)
    reserve.look(0)
    disk.room = 0
    assert reserve.release()
    assert (disk.room, reserve.state, reserve.release()) == (SIZE, REFUSING, False)
    reserve.look(1)
    disk.room = 1999
    reserve.look(2)
    assert (reserve.state, (tmp_path / FILE).stat().st_size) == (REFUSING, 0)
    disk.room = 12_000
    assert reserve.look(3) == []
    assert (reserve.state, (tmp_path / FILE).stat().st_size) == (OK, SIZE)


@pytest.mark.parametrize("name", ["open", "allocate"])
def test_a_reserve_that_cannot_be_made_admits_nobody_and_is_tried_again(tmp_path: Path, name: str) -> None:
    failing = [True]
    disk = Disk(fault=lambda _, found: errno.EIO if failing[0] and found == name else None)
    reserve = reserve_on(disk, tmp_path)
    with capture_logs() as told:
        reserve.look(-1)
        reserve.look(0)
    assert not reserve.admits
    assert [line["event"] for line in told].count("audit_reserve_failed") == 1, "once, not each second"
    failing[0] = False
    reserve.look(1)
    assert reserve.admits


def no_room(full: list[bool]) -> Callable[[int, str], int | None]:
    """Writing fails while the disk is full; emptying the reserve makes room."""

    def fault(_: int, name: str) -> int | None:
        if name == "truncate":
            full[0] = False
        return errno.ENOSPC if full[0] and name == "write" else None

    return fault


async def test_open_exchanges_finish_on_the_reserve_and_new_ones_wait_for_room(tmp_path: Path) -> None:
    full = [False]
    disk = Disk(room=100_000, fault=no_room(full))
    log = AuditLog.open(settings_in(tmp_path, reserve_bytes=SIZE, probe_interval_s=0.01), files=disk)
    admit, _, complete = exchange("a")
    await log.append(admit)  # type: ignore[arg-type]
    full[0], disk.room = True, 0
    results = await asyncio.gather(
        log.append(complete),  # type: ignore[arg-type]
        log.append(exchange("b")[0]),  # type: ignore[arg-type]
        return_exceptions=True,
    )
    assert not isinstance(results[0], Exception)
    assert isinstance(results[1], AuditUnavailable)
    assert log.state == "audit_no_space"
    with pytest.raises(AuditUnavailable, match="no room for another exchange"):
        await log.append(exchange("c")[0])  # type: ignore[arg-type]
    await log.append({"type": "auth.fail", "stage": "complete"})
    disk.room = 100_000
    await _until_admitting(log)
    await log.append(exchange("d")[0])  # type: ignore[arg-type]
    await log.close()
    assert "audit.fail" not in types_in(tmp_path), "nothing that had begun was refused"
    assert [record["req"] for record in records_in(tmp_path) if record["type"] == "request.admit"] == ["a", "d"]
    assert verified(tmp_path).finding is None


async def test_a_full_disk_without_a_reserve_left_stops_the_log(tmp_path: Path) -> None:
    full = [False]
    disk = Disk(room=100_000, fault=lambda _, name: errno.ENOSPC if full[0] and name == "write" else None)
    log = AuditLog.open(settings_in(tmp_path, reserve_bytes=SIZE, probe_interval_s=0.01), files=disk)
    await log.append({"type": "auth.fail"})
    full[0] = True
    with pytest.raises(AuditUnavailable, match="No space"):
        await log.append({"type": "auth.fail"})
    assert log.state == "audit_unavailable"
    full[0] = False
    await _until_admitting(log)
    await log.close()
    assert "audit.fail" in types_in(tmp_path)


async def test_little_room_is_a_record(tmp_path: Path) -> None:
    disk = Disk(room=4000)
    log = AuditLog.open(settings_in(tmp_path, reserve_bytes=SIZE, low_space=0.25), files=disk)
    await log.append(exchange("a")[0])  # type: ignore[arg-type]
    await log.close()
    [told] = [record for record in records_in(tmp_path) if record["type"] == "audit.reserve_low"]
    assert told["space"] == {"state": "low", "free": 3000, "total": 20_000, "reserve": SIZE}


async def _until_admitting(log: AuditLog) -> None:
    for _ in range(1000):
        if log.state == "ok":
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the log does not admit again")
