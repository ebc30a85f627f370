"""Logs with second places, and places that fail when they are told to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gateway.audit.files import OsFiles
from gateway.audit.log import AuditLog, AuditSettings
from gateway.audit.report import Report
from gateway.audit.sinks.errors import SinkError
from gateway.audit.sinks.local import LocalLog
from gateway.audit.sinks.position import START, Piece, Position, PositionFile
from gateway.audit.sinks.settings import DirectoryPlace, SinkSettings, SinksSettings
from gateway.audit.sinks.worker import Worker
from gateway.audit.verify import verify
from tests.gateway.audit.harness import ORIGIN, settings_in, trust_in


class ScriptedSink:
    """Holds pieces in memory. `behave` is called before each put and may raise or wait."""

    most_bytes = 1 << 20
    window_s = 0.0
    heads_every_s = 0.02

    def __init__(self, behave: Callable[[Piece], None] = lambda piece: None) -> None:
        self.behave = behave
        self.lines: list[bytes] = []
        self.at = START
        self.order: list[str] = []
        """Names in the order in which they came; records as `N records`."""
        self.files: dict[str, bytes] = {}
        self.connections = 0

    def connect(self, local: LocalLog, known: Position | None) -> Position:
        self.connections += 1
        return self.at

    def held(self) -> dict[str, int]:
        return {name: len(data) for name, data in self.files.items()}

    def put(self, piece: Piece) -> None:
        assert piece.at.seq == self.at.seq
        self.behave(piece)
        self.lines.extend(line.removesuffix(b"\n") for line in piece.lines)
        self.at = piece.end
        self.order.append(f"{len(self.lines)} records")

    def put_file(self, name: str, data: bytes) -> None:
        self.files[name] = data
        self.order.append(name)

    def put_history(self, name: str, offset: int, data: bytes) -> None:
        assert offset == len(self.files.get(name, b""))
        self.files[name] = self.files.get(name, b"") + data
        self.order.append(name)

    def close(self) -> None:
        return


class Gate:
    """Lets a sink through, makes it wait, or makes it fail; changed while it runs."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.failing = False

    def __call__(self, piece: Piece) -> None:
        if self.failing:
            raise SinkError("sink_failed", "scripted")
        self.open.wait(20)


def directory_sinks(path: Path, require: int = 2, **more: object) -> SinksSettings:
    """One directory beside the log."""
    copy = path / "copy"
    copy.mkdir(exist_ok=True)
    return SinksSettings(
        (SinkSettings("copy", DirectoryPlace(copy), **({"retry_s": 0.05} | more)),),  # type: ignore[arg-type]
        require,
        path / "state",
    )


def log_settings(path: Path, sinks: SinksSettings, **more: object) -> AuditSettings:
    return settings_in(path, sinks=sinks, **({"probe_interval_s": 0.05} | more))


def worker_of(
    path: Path,
    sink: ScriptedSink,
    changed: threading.Condition,
    clock: Callable[[], float] = time.monotonic,
    **more: object,
) -> Worker:
    """A worker over the log in `path`, with a place of ours behind it."""
    settings = SinkSettings(
        str(more.pop("name", "one")),
        DirectoryPlace(path / "unused"),
        **({"retry_s": 0.05} | more),  # type: ignore[arg-type]
    )
    positions = PositionFile(path / "state" / f"{settings.name}.position", ORIGIN, OsFiles())
    return Worker(settings, sink, LocalLog(path / "log", ORIGIN), positions, changed, clock)


def same_files(log: Path, copy: Path) -> None:
    """Every file of the log is in the copy, byte by byte, and the other way round, but for what proves nothing."""
    ours, theirs = (
        {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        for root in (log, copy)
    )
    for name in [name for name in ours if name == "reserve" or name.startswith(("tile/", "resume/"))]:
        del ours[name]
    assert sorted(ours) == sorted(theirs)
    for name, data in ours.items():
        assert theirs[name] == data, name


def proved(path: Path, name: str = "log") -> Report:
    """What verify says of the log in `path`, or of a copy beside it: everything holds."""
    report = verify(path / name, trust_in(path))
    assert report.finding is None, report.finding
    return report


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)


class CopyFaults(OsFiles):
    """The real disk, but what is done under one directory asks `fault` first: an errno, seconds to hang, or None."""

    def __init__(self, directory: Path, fault: Callable[[str], int | float | None]) -> None:
        self._directory, self.fault = directory, fault
        self._descriptors: set[int] = set()

    def _ask(self, name: str) -> None:
        said = self.fault(name)
        if isinstance(said, float):
            time.sleep(said)
        elif said is not None:
            raise OSError(said, os.strerror(said))

    def open(self, path: Path, flags: int) -> int:
        inside = path.is_relative_to(self._directory)
        if inside:
            self._ask("open")
        descriptor = super().open(path, flags)
        # Numbers are given out again after a close.
        (self._descriptors.add if inside else self._descriptors.discard)(descriptor)
        return descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if descriptor in self._descriptors:
            try:
                self._ask("write")
            except OSError:
                super().write(descriptor, data[: len(data) // 2])
                raise
        return super().write(descriptor, data)

    def datasync(self, descriptor: int) -> None:
        if descriptor in self._descriptors:
            self._ask("datasync")

    def sync_directory(self, path: Path) -> None:
        if path.is_relative_to(self._directory):
            self._ask("sync_directory")


async def start_and_stop(settings: AuditSettings) -> None:
    await AuditLog.open(settings).close()
