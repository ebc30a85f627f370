"""The audit log as the pipeline sees it: hand in a record, get its number back once it cannot be lost.

Records from all exchanges wait in one queue; one thread takes whatever waits, makes it durable with a single sync, and
wakes all callers with a single call into their event loop. `append` returns after the sync and never before. While
the disk is bad every append fails at once, and a probe each second brings the log back; its first record then says
how long it was away. The same happens when too few second places (sinks/) hold a batch in time, where the settings
demand them. A sync that hangs makes new appends fail; those already waiting stay, as nobody knows yet whether they are
on disk.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue

import structlog

from gateway.audit import receipt as receipts
from gateway.audit.clock import Clock, SystemClock
from gateway.audit.epochs import Epoch
from gateway.audit.errors import (
    AuditError,
    AuditUnavailable,
    EpochMissing,
    HeadConflict,
    NoRoom,
    RecordError,
)
from gateway.audit.files import Files, OsFiles
from gateway.audit.origin import note_begun, open_origin
from gateway.audit.record import Json
from gateway.audit.reserve import Reserve
from gateway.audit.settings import AuditSettings as AuditSettings
from gateway.audit.sinks.group import QuorumLost, Sinks
from gateway.audit.sinks.worker import SinkState
from gateway.audit.spot_check import spot_check
from gateway.audit.start import MAX_BATCH, open_writer
from gateway.audit.waiting import Waiting, deliver, fail
from gateway.audit.writer import RESERVED, BatchWriter, Receipt

log = structlog.get_logger()
_NO_ADMISSION = "the disk has no room for another exchange"


class AuditLog:
    """One open log. `append` may be called from any event loop; everything else happens on the writer thread."""

    def __init__(self, settings: AuditSettings, writer: BatchWriter, files: Files, lock: int, sinks: Sinks) -> None:
        self._settings, self._writer, self._files, self._lock = settings, writer, files, lock
        self._sinks = sinks
        self._reserve = Reserve(
            files, settings.directory, settings.reserve_bytes, settings.low_space, settings.probe_interval_s
        )
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._at_hand: list[Waiting] = []
        """The latest batch that was taken out of the queue."""
        self._fault: str | None = None
        self._where = "store"
        """Where the fault lies: here, or at a sink of this name."""
        self._code = AuditUnavailable.code
        """What kind of fault it is."""
        self._refused = 0
        self._forked = False
        """Another process goes on with this log: not even a probe may add to it."""
        self._busy_since: float | None = None
        self._ended = False
        self._signed_at = self._sign_tried_at = time.monotonic()
        self._signed_size = writer.head[0]
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)

    @classmethod
    def open(cls, settings: AuditSettings, *, files: Files | None = None, clock: Clock | None = None) -> AuditLog:
        """Lock, check and mend the log, and write `gateway.start`. Raises AuditError; then nothing may be served."""
        files, clock = files or OsFiles(), clock or SystemClock()
        origin = open_origin(settings.directory, settings.origin, settings.key_path, files, clock)
        try:
            sinks = Sinks.open(settings.sinks, settings.directory, settings.origin, files)
            writer = open_writer(settings, files, clock, origin)
            note_begun(settings.key_path, settings.origin, files)
        except EpochMissing as exc:
            files.close(origin.lock)
            raise AuditError(exc.code, exc.problem) from exc
        except (OSError, AuditUnavailable) as exc:
            files.close(origin.lock)
            problem = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise AuditError("audit_dir_unwritable", f"`{settings.directory}` cannot be written: {problem}") from exc
        except AuditError:
            files.close(origin.lock)
            raise
        log = cls(settings, writer, files, origin.lock, sinks)
        sinks.start(writer.head[0])
        log._thread.start()
        if settings.spot_check:
            threading.Thread(
                target=log._spot_check, args=(writer.began_at,), name="audit-spot-check", daemon=True
            ).start()
        return log

    @property
    def healthy(self) -> bool:
        """Whether an exchange that begins now can be recorded."""
        return self.state == "ok"

    @property
    def state(self) -> str:
        """`ok`, or the code of what is wrong. Any thread."""
        if self._trouble() is not None:
            return self._code
        return "ok" if self._reserve.admits else "audit_no_space"

    @property
    def is_running(self) -> bool:
        """Whether its thread lives. One that failed as nobody foresaw comes back with another process only."""
        return self._thread.is_alive()

    @property
    def room(self) -> Reserve:
        """How much the disk has left, for metrics."""
        return self._reserve

    @property
    def epoch(self) -> Epoch:
        """The key that signs now, and its time, for metrics."""
        return self._writer.signing.epoch

    @property
    def sinks(self) -> list[SinkState]:
        """How each second place is doing."""
        return self._sinks.states()

    @property
    def head(self) -> tuple[int, bytes]:
        """Number of durable records, and the tree's root over them."""
        return self._writer.head

    async def append(self, record: Mapping[str, Json]) -> Receipt:
        """Return when the record is durable. RecordError: it does not fit; AuditUnavailable: forbid what it permits.

        A caller that is cancelled while it waits does not take the record back: it is written all the same.
        """
        _check_record(record)
        draft = self._writer.drafter.draft(record)
        trouble = self._trouble()
        if trouble is None and not self._reserve.admits and draft.begins:
            trouble = _NO_ADMISSION
        if trouble is not None:
            self._refused += 1
            raise AuditUnavailable(trouble)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt] = loop.create_future()
        self._queue.put(Waiting(draft, future, loop))
        if self._ended:
            # The thread may have ended between the check above and the put; nobody else would take this one out.
            self._fail_queue()
        return await future

    def sign_receipt(self, receipt: Receipt) -> str:
        """The value of the header `Gatehouse-Receipt` for a record that was appended. Any thread; 40 us."""
        return receipts.sign(*self._writer.signing, receipt.seq, receipt.leaf)

    async def close(self) -> None:
        """Write what waits, `gateway.stop` and a last checkpoint; then release the log."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _trouble(self) -> str | None:
        if self._fault is not None:
            return self._fault
        since = self._busy_since
        if since is not None and time.monotonic() - since > self._settings.stall_s:
            return f"the disk has not answered for {self._settings.stall_s} s"
        return None

    def _spot_check(self, began_at: int) -> None:
        """On a thread of its own, so that no start waits for it."""
        record = spot_check(self._settings.directory, self._writer.chain, began_at)
        if record is not None:
            self._queue.put(Waiting(self._writer.drafter.draft(record)))

    # From here on: the writer thread.

    def _run(self) -> None:
        try:
            self._look_for_room()
            self._confirm()
            while self._turn():
                pass
            self._finish()
            self._sinks.stored(self._writer.head[0])
        # Whatever ends this thread, those who wait for a record hear of it; it goes on.
        except BaseException as exc:
            self._fault = f"writer thread failed: {type(exc).__name__}"
            fail(self._at_hand, self._fault)
            raise
        finally:
            self._fault = self._fault or "the log is closed"
            self._ended = True
            self._fail_queue()
            self._sinks.close()
            self._writer.close()
            self._files.close(self._lock)

    def _turn(self) -> bool:
        """One batch, probe or checkpoint. False when the log is to be closed."""
        batch, go_on = self._take()
        self._look_for_room()
        if self._fault is not None:
            fail(batch, self._fault)
            self._refused += len(batch)
            if go_on and not self._forked:
                self._probe()
        elif batch:
            self._store(batch)
        if self._fault is None and self._sinks:
            self._report_sinks()
        if self._fault is None and time.monotonic() >= self._checkpoint_due():
            self._sign()
        self._sinks.stored(self._writer.head[0])
        return go_on

    def _take(self) -> tuple[list[Waiting], bool]:
        self._at_hand = batch = list[Waiting]()
        try:
            first = self._queue.get(timeout=self._patience())
            while first is not None:
                batch.append(first)
                if len(batch) >= MAX_BATCH:
                    return batch, True
                first = self._queue.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _patience(self) -> float:
        if self._fault is not None:
            return self._settings.probe_interval_s
        due = max(0.0, self._checkpoint_due() - time.monotonic())
        return min(due, self._settings.probe_interval_s) if self._sinks or not self._reserve.admits else due

    def _checkpoint_due(self) -> float:
        if self._sign_tried_at > self._signed_at:
            return self._sign_tried_at + self._settings.probe_interval_s
        if self._writer.head[0] > self._signed_size:
            return self._signed_at + self._settings.checkpoint_interval_s
        return self._signed_at + self._settings.idle_checkpoint_s

    def _store(self, batch: list[Waiting]) -> None:
        """Make a batch durable, and only then tell those who wait for it. The one place where records count."""
        batch = self._admitted(batch)
        results: list[Receipt | RecordError] = []
        self._busy_since = time.monotonic()
        try:
            results = self._writer.write([waiting.draft for waiting in batch])
            # A sink that does not answer has its own deadline.
            self._busy_since = None
            self._sinks.confirm(self._writer.head[0])
        except AuditUnavailable as exc:
            if isinstance(exc, NoRoom) and self._reserve.release():
                self._store(batch)
                return
            self._break(exc)
            fail(batch, exc.problem, results)
        else:
            deliver(batch, results)
        finally:
            self._busy_since = None

    def _admitted(self, batch: list[Waiting]) -> list[Waiting]:
        """What may be written. While there is only the reserve, no exchange begins."""
        if self._reserve.admits:
            return batch
        late = [waiting for waiting in batch if waiting.draft.begins]
        fail(late, _NO_ADMISSION)
        self._refused += len(late)
        return [waiting for waiting in batch if not waiting.draft.begins]

    def _look_for_room(self) -> None:
        """Whether there is room for what comes, and a record when there is less of it."""
        reports = self._reserve.look(time.monotonic())
        if reports and self._fault is None:
            # It is only news: if there is no room for it, what comes next finds out.
            with suppress(AuditUnavailable):
                self._writer.write(reports)

    def _break(self, exc: AuditUnavailable) -> None:
        """Nothing is recorded any more until a probe says otherwise."""
        self._where = exc.where if isinstance(exc, QuorumLost) else "store"
        if (exc.code, exc.problem) != (self._code, self._fault):
            log.error("audit_failed", where=self._where, code=exc.code.partition(":")[0], problem=exc.problem)
        self._code, self._fault = exc.code, exc.problem

    def _confirm(self) -> None:
        """Begin broken if the sinks do not get what the start has written."""
        try:
            self._sinks.confirm(self._writer.head[0])
        except AuditUnavailable as exc:
            self._break(exc)

    def _report_sinks(self) -> None:
        try:
            for report in self._sinks.reports():
                self._writer.write([report])
        except AuditUnavailable as exc:
            self._break(exc)

    def _probe(self) -> None:
        """Try to write what happened; when that is durable, the log is back."""
        if (lost := self._sinks.lost(self._writer.head[0])) is not None:
            # Nothing would come of a record; its place in the log would be one more try each second.
            self._break(lost)
            return
        error: dict[str, Json] = {"code": AuditUnavailable.code, "where": self._where, "refused": self._refused}
        refused = self._refused
        try:
            self._writer.require_key()
            self._writer.write([{"type": "audit.fail", "stage": "complete", "err": error}])
            self._sinks.confirm(self._writer.head[0])
            self._writer.sign_head()
        except AuditUnavailable as exc:
            self._break(exc)
            return
        self._refused -= refused
        self._note_signed()
        self._code, self._fault = AuditUnavailable.code, None
        log.info("audit_recovered", where=self._where, refused=refused)

    def _sign(self) -> None:
        self._sign_tried_at = time.monotonic()
        try:
            self._writer.sign_head()
        except AuditUnavailable as exc:
            if isinstance(exc, NoRoom) and self._reserve.release():
                self._sign()
                return
            self._forked = isinstance(exc, HeadConflict)
            if self._forked or time.monotonic() - self._signed_at > self._settings.head_patience_s:
                self._break(exc)
            return
        self._note_signed()

    def _note_signed(self) -> None:
        self._signed_at = self._sign_tried_at = time.monotonic()
        self._signed_size = self._writer.head[0]

    def _finish(self) -> None:
        if self._fault is not None:
            return
        try:
            self._writer.write([{"type": "gateway.stop", "stage": "complete"}])
            self._writer.sign_head()
            self._writer.seal_segment()
        except AuditUnavailable as exc:
            # Nobody waits for this record; the next start finds a log that ended without it.
            self._fault = exc.problem

    def _fail_queue(self) -> None:
        try:
            while True:
                waiting = self._queue.get_nowait()
                if waiting is not None:
                    fail([waiting], self._fault or "the log is closed")
        except Empty:
            return


def _check_record(record: Mapping[str, Json]) -> None:
    if not isinstance(record.get("type"), str):
        raise RecordError("record has no `type`")
    if not RESERVED.isdisjoint(record):
        raise RecordError(f"record sets `{min(RESERVED & record.keys())}`, which the log adds itself")
