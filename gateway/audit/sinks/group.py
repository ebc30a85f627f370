"""All second places of one log: who holds what, and whether that is enough for a record to count.

The writer's thread calls everything here. It waits for sinks only where the configuration demands more than the local
directory, and then no longer than their deadlines: a sink that hangs costs its deadline once, then the log is
unavailable until the records that it lacks are there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.audit.errors import AuditUnavailable
from gateway.audit.files import Files
from gateway.audit.record import Json
from gateway.audit.sinks.local import LocalLog
from gateway.audit.sinks.opened import make_sink
from gateway.audit.sinks.position import PositionFile
from gateway.audit.sinks.settings import SinksSettings
from gateway.audit.sinks.worker import SinkState, Worker

log = structlog.get_logger()


class QuorumLost(AuditUnavailable):
    """Too few places hold the records. They are in the local log, and nothing may come of them."""

    def __init__(self, sink: str) -> None:
        super().__init__(f"sink `{sink}` does not hold what it has to")
        self.where, self.code = sink, f"audit_sink_lost: {sink}"


class Sinks:
    """The workers, and the count over them."""

    def __init__(self, workers: Sequence[Worker], require: int, changed: threading.Condition) -> None:
        self._workers, self._require, self._changed = workers, require, changed
        self._holding = [worker for worker in workers if worker.settings.place.holds]
        self._told = dict.fromkeys((worker.settings.name for worker in workers), True)
        """Whether the log's last record about a sink says that it is up."""

    @classmethod
    def open(cls, settings: SinksSettings, directory: Path, origin: str, files: Files) -> Sinks:
        """Nothing is contacted yet. Raises AuditError for a position file that cannot be read."""
        changed, local = threading.Condition(), LocalLog(directory, origin)
        workers = []
        for sink in settings.sinks:
            positions = PositionFile(settings.state / f"{sink.name}.position", origin, files)
            workers.append(Worker(sink, make_sink(sink.place, local, files), local, positions, changed))
        return cls(workers, settings.require, changed)

    def start(self, durable: int) -> None:
        for worker in self._workers:
            worker.start(durable)

    def stored(self, durable: int) -> None:
        """Tell everybody, and wait for nobody."""
        for worker in self._workers:
            worker.offer(durable)

    def confirm(self, durable: int) -> None:
        """Return when enough places hold the first `durable` records. Raises QuorumLost after the deadlines."""
        self.stored(durable)
        began = time.monotonic()
        with self._changed:
            while (lacking := self._lacking(durable)) is not None:
                left = self._patience(durable, time.monotonic() - began)
                if left is None:
                    raise QuorumLost(lacking)
                self._changed.wait(left)

    def lost(self, durable: int) -> QuorumLost | None:
        """Whether records would not count now, without waiting."""
        self.stored(durable)
        with self._changed:
            lacking = self._lacking(durable)
        return QuorumLost(lacking) if lacking is not None else None

    def _lacking(self, durable: int) -> str | None:
        """A sink that would have to hold these records and does not."""
        behind = [worker for worker in self._holding if worker.acked < durable]
        for worker in behind:
            if worker.settings.required:
                return worker.settings.name
        enough = 1 + len(self._holding) - len(behind) >= self._require
        return None if enough else behind[0].settings.name

    def _patience(self, durable: int, waited_s: float) -> float | None:
        """Seconds until the next deadline that matters; None when no waiting helps any more."""
        behind = [worker for worker in self._holding if worker.acked < durable]
        in_time = [worker for worker in behind if worker.settings.deadline_s > waited_s and worker.state().up]
        if any(worker.settings.required and worker not in in_time for worker in behind):
            return None
        if 1 + len(self._holding) - len(behind) + len(in_time) < self._require:
            return None
        return min((worker.settings.deadline_s - waited_s for worker in in_time), default=None)

    def reports(self) -> list[dict[str, Json]]:
        """Records of sinks that went down or came back since the last call, at most one each."""
        found: list[dict[str, Json]] = []
        for state in self.states():
            if state.up != self._told[state.name]:
                self._told[state.name] = state.up
                kind = "audit.sink_up" if state.up else "audit.sink_down"
                log.warning(kind.replace(".", "_"), sink=state.name, lag=state.lag, code=state.code)
                sink: dict[str, Json] = {"name": state.name, "lag": state.lag}
                found.append(
                    {"type": kind, "stage": "complete", "sink": sink | ({} if state.up else {"code": state.code})}
                )
        return found

    def states(self) -> list[SinkState]:
        """Of each sink, now. May be called from any thread."""
        return [worker.state() for worker in self._workers]

    def __bool__(self) -> bool:
        return bool(self._workers)

    def close(self) -> None:
        for worker in self._workers:
            worker.ask_to_end()
        for worker in self._workers:
            worker.join()
