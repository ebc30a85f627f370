"""A copy in another directory: byte for byte the log, through everything that may happen to its disk."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from pathlib import Path

import pytest

from gateway.audit.errors import AuditUnavailable
from gateway.audit.log import AuditLog
from gateway.audit.sinks.directory import DirectorySink
from gateway.audit.sinks.errors import SinkConflict, SinkError, SinkFull
from gateway.audit.sinks.local import LocalLog
from gateway.audit.sinks.position import START, Position
from tests.gateway.audit.harness import ORIGIN, FaultyFiles, exchange, lines_in, small_log, types_in
from tests.gateway.audit.sinks.places import directory_sinks, log_settings, proved, same_files, until


async def write(log: AuditLog, *requests: str) -> None:
    for request in requests:
        for record in exchange(request):
            await log.append(record)  # type: ignore[arg-type]


async def test_copy_is_the_log_byte_for_byte_and_proves_itself(tmp_path: Path) -> None:
    settings = log_settings(tmp_path, directory_sinks(tmp_path))
    for start in range(3):
        log = AuditLog.open(settings)
        await write(log, *(f"{start}-{number}" for number in range(5)))
        await log.close()
    same_files(tmp_path / "log", tmp_path / "copy")
    assert proved(tmp_path, "copy").records == proved(tmp_path).records == len(lines_in(tmp_path))


async def test_acknowledged_record_is_in_the_copy(tmp_path: Path) -> None:
    log = AuditLog.open(log_settings(tmp_path, directory_sinks(tmp_path)))
    await log.append({"type": "auth.fail", "n": 4711})
    (segment,) = (tmp_path / "copy" / "seg").glob("*.jsonl")
    assert b'"n":4711' in segment.read_bytes()
    await log.close()


async def test_copy_that_begins_late_gets_everything(tmp_path: Path) -> None:
    small_log(tmp_path, exchanges=50, starts=4)
    log = AuditLog.open(log_settings(tmp_path, directory_sinks(tmp_path)))
    await write(log, "later")
    await log.close()
    same_files(tmp_path / "log", tmp_path / "copy")


async def test_required_copy_whose_directory_is_missing_stops_the_log_and_it_comes_back(tmp_path: Path) -> None:
    sinks = directory_sinks(tmp_path, required=True, deadline_s=0.3)
    (tmp_path / "copy").rmdir()
    log = AuditLog.open(log_settings(tmp_path, sinks))
    await asyncio.sleep(0.5)
    with pytest.raises(AuditUnavailable, match="sink `copy`"):
        await log.append({"type": "auth.fail"})
    assert not (tmp_path / "copy").exists()
    (tmp_path / "copy").mkdir()
    await asyncio.to_thread(until, lambda: log.healthy)
    await log.append({"type": "auth.fail", "n": 2})
    await log.close()
    same_files(tmp_path / "log", tmp_path / "copy")
    assert types_in(tmp_path)[:2] == ["gateway.start", "audit.fail"]
    proved(tmp_path)


async def test_copy_that_vanishes_is_told_and_not_begun_anew(tmp_path: Path) -> None:
    """What is mounted in its place is empty, and would be a copy that seems whole."""
    log = AuditLog.open(log_settings(tmp_path, directory_sinks(tmp_path, require=1, deadline_s=0.2)))
    await write(log, "one")
    await asyncio.to_thread(until, lambda: log.sinks[0].lag == 0)
    shutil.rmtree(tmp_path / "copy")
    (tmp_path / "copy").mkdir()
    await write(log, "two")
    await asyncio.to_thread(until, lambda: log.sinks[0].code == "sink_set_back")
    await asyncio.to_thread(until, lambda: "audit.sink_down" in types_in(tmp_path))
    assert log.healthy
    await log.close()
    assert not any((tmp_path / "copy" / "seg").iterdir())
    proved(tmp_path)


@pytest.mark.parametrize("touch", ["append", "replace", "truncate"])
async def test_copy_that_somebody_touches_is_found(tmp_path: Path, touch: str) -> None:
    log = AuditLog.open(log_settings(tmp_path, directory_sinks(tmp_path, require=1, deadline_s=0.2)))
    await write(log, "one")
    await asyncio.to_thread(until, lambda: log.sinks[0].lag == 0)
    (segment,) = (tmp_path / "copy" / "seg").glob("*.jsonl")
    if touch == "append":
        with segment.open("ab") as file:
            file.write(b"forged\n")
    elif touch == "replace":
        data = segment.read_bytes()
        segment.unlink()
        segment.write_bytes(data.replace(b"one", b"0ne"))
    else:
        os.truncate(segment, 10)
    await write(log, "two")
    expected = "sink_set_back" if touch == "truncate" else "sink_changed"
    await asyncio.to_thread(until, lambda: log.sinks[0].code == expected)
    await log.close()


def connected(path: Path, files: FaultyFiles) -> tuple[DirectorySink, LocalLog, Position]:
    """A sink for the small log in `path`, before its first piece."""
    small_log(path, exchanges=3, starts=1)
    (path / "copy").mkdir()
    sink, local = DirectorySink(path / "copy", files), LocalLog(path / "log", ORIGIN)
    return sink, local, sink.connect(local, None)


@pytest.mark.parametrize("operation", ["write", "datasync", "sync_directory", "open"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_every_failure_of_its_disk_leaves_a_copy_that_goes_on(tmp_path: Path, operation: str, code: int) -> None:
    failing: set[str] = set()
    files = FaultyFiles(lambda _, name: code if name in failing else None, short=True)
    sink, local, at = connected(tmp_path, files)
    first = local.piece(at, 4, 100)
    assert first is not None
    if operation in ("sync_directory", "open"):
        failing.add(operation)
    sink_at = at
    try:
        sink.put(first)
        sink_at = first.end
        failing.add(operation)
        second = local.piece(sink_at, 11, 100)
        assert second is not None
        sink.put(second)
    except SinkFull:
        assert code == errno.ENOSPC
        assert operation != "datasync"
        # The connection stands: the same bytes are tried again.
        failing.clear()
        at = sink_at
    except SinkError:
        sink.close()
        failing.clear()
        at = sink.connect(local, sink_at if sink_at != START else None)
        assert at == sink_at
    else:
        pytest.fail("nothing failed")
    while (piece := local.piece(at, 11, 100)) is not None:
        sink.put(piece)
        at = piece.end
    sink.close()
    ours, theirs = (
        [file.read_bytes() for file in sorted((tmp_path / name / "seg").glob("*.jsonl"))] for name in ("log", "copy")
    )
    assert ours == theirs


def test_copy_of_another_log_is_left_alone(tmp_path: Path) -> None:
    small_log(tmp_path / "other")
    shutil.copytree(tmp_path / "other" / "log", tmp_path / "copy")
    small_log(tmp_path, exchanges=3)
    (tmp_path / "copy" / "LOG").write_bytes(b"another\n")
    with pytest.raises(SinkConflict, match="LOG"):
        DirectorySink(tmp_path / "copy", FaultyFiles()).connect(LocalLog(tmp_path / "log", ORIGIN), None)


def test_copy_that_holds_more_than_the_log_says_so(tmp_path: Path) -> None:
    """The log was set back: the copy is the evidence, and is not touched."""
    small_log(tmp_path, starts=2)
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    newest = sorted((tmp_path / "log" / "seg").glob("*.jsonl"))[-1]
    newest.write_bytes(b"".join(newest.read_bytes().splitlines(keepends=True)[:-1]))
    before = (tmp_path / "copy" / "seg" / newest.name).read_bytes()
    with pytest.raises(SinkConflict, match="holds more"):
        DirectorySink(tmp_path / "copy", FaultyFiles()).connect(LocalLog(tmp_path / "log", ORIGIN), None)
    assert (tmp_path / "copy" / "seg" / newest.name).read_bytes() == before
