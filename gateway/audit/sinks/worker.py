"""One sink's thread: delivers what is durable, catches up after it was away, and never holds up anybody else.

The order in a sink is that of the local log: keys and seals before the segment that follows them, records before the
heads that cover them. So whatever a sink holds at any moment is a log that verifies, perhaps a shorter one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.audit.sinks.errors import SinkConflict, SinkError, SinkFull
from gateway.audit.sinks.local import HISTORIES, MOST_HISTORY, LocalLog, covered_by_heads, covered_by_seal
from gateway.audit.sinks.position import Position, PositionFile
from gateway.audit.sinks.settings import SinkSettings
from gateway.audit.sinks.sink import Sink

LONGEST_RETRY_S = 30.0
"""For a sink that no record waits for."""
END_S, LAST_RETRY_S = 2.0, 0.1
"""How long an orderly end waits for a sink, and between its last tries."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SinkState:
    """What is known of a sink at one moment."""

    name: str
    up: bool
    lag: int
    """Durable records that it does not hold."""
    code: str
    """Why it is not up; empty when it is."""


@dataclass(slots=True)
class _Heads:
    """What of the growing files is to be put once all records up to `size` are there."""

    size: int
    parts: dict[str, bytes]


class Worker:
    """Owns a sink and its thread. Everything it tells others is guarded by `changed`, which all workers share.

    Making one raises AuditError if what is remembered of the sink cannot be read. `clock` says how late the sink is.
    """

    def __init__(
        self,
        settings: SinkSettings,
        sink: Sink,
        local: LocalLog,
        positions: PositionFile,
        changed: threading.Condition,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self._clock = settings, clock
        self._sink, self._local, self._positions, self._changed = sink, local, positions, changed
        self._patient = not settings.place.holds
        self._durable = self.acked = 0
        self._waiting: tuple[int, float] | None = None
        """A record that is not acknowledged, and since when."""
        self._error: SinkError | None = None
        self._closing = self._last_round = False
        self._end_by = 0.0
        self._known = self._saved = positions.load()
        self._held: dict[str, int] = {}
        self._heads: _Heads | None = None
        self._heads_due = self._next_put = 0.0
        self._thread = threading.Thread(target=self._run, name=f"audit-sink-{settings.name}", daemon=True)

    def start(self, durable: int) -> None:
        self.offer(durable)
        self._thread.start()

    def offer(self, durable: int) -> None:
        """These many records are durable."""
        with self._changed:
            self._durable = durable
            if self._waiting is None and self.acked < durable:
                self._waiting = (durable, self._clock())
            self._changed.notify_all()

    def state(self) -> SinkState:
        with self._changed:
            late = self._waiting is not None and self._clock() - self._waiting[1] > self.settings.deadline_s
            code = self._error.code if self._error is not None else "sink_late"
            up = not late and not isinstance(self._error, SinkConflict)
            return SinkState(self.settings.name, up, max(0, self._durable - self.acked), "" if up else code)

    def ask_to_end(self) -> None:
        """Deliver what is durable and the last heads, then end."""
        with self._changed:
            self._closing = True
            self._end_by = time.monotonic() + END_S
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the end within the deadline; a thread that hangs is left behind."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, self._end_by - time.monotonic()))

    # From here on: the sink's thread.

    def _run(self) -> None:
        pause = self.settings.retry_s
        while True:
            before = self.acked
            try:
                self._session()
                return
            except SinkError as exc:
                error = exc
            except OSError as exc:
                error = SinkError("sink_failed", f"{type(exc).__name__}: {exc.strerror}")
            # A bug in one sink must not end its thread silently, nor reach the log; it is told as what it is.
            except Exception as exc:  # noqa: BLE001
                error = SinkError("sink_crashed", type(exc).__name__)
            finally:
                self._sink.close()
            again = self.acked > before or not self._patient
            pause = self.settings.retry_s if again else min(2 * pause, LONGEST_RETRY_S)
            if not self._rest(error, pause):
                return

    def _rest(self, error: SinkError, pause: float) -> bool:
        """Remember what went wrong and wait before the next try. False when there is none."""
        with self._changed:
            if self._error is None or self._error.code != error.code:
                log.warning("audit_sink_failed", sink=self.settings.name, code=error.code, problem=error.problem)
            self._error = error
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._closing, pause):
                return True
            self._changed.wait_for(lambda: False, LAST_RETRY_S)
            return not isinstance(error, SinkConflict) and time.monotonic() < self._end_by

    def _session(self) -> None:
        """From connecting to an orderly end; ends in a SinkError otherwise."""
        at = self._sink.connect(self._local, self._known)
        if at.seq > self._durable:
            problem = f"it holds {at.seq} records, the log itself {self._durable}: history is missing here"
            raise SinkConflict("sink_ahead", problem)
        self._held, self._heads, self._heads_due, self._last_round = self._sink.held(), None, 0.0, False
        self._acknowledge(at)
        while True:
            self._gather_heads()
            self._pace()
            piece = self._local.piece(at, self._durable, self._sink.most_bytes)
            if piece is not None:
                if piece.at.offset == 0:
                    self._put_small_files(piece.at)
                try:
                    self._sink.put(piece)
                except SinkFull as exc:
                    if not self._rest(exc, self.settings.retry_s):
                        return
                    continue
                at = piece.end
                whole = at.offset - piece.at.offset >= self._sink.most_bytes
                self._next_put = 0.0 if whole else time.monotonic() + self._sink.window_s
                self._acknowledge(at)
            self._put_heads(at)
            if piece is None and not self._more():
                return

    def _pace(self) -> None:
        """Let records gather since the last put, for a sink where each put costs."""
        with self._changed:
            left = self._next_put - time.monotonic()
            if left > 0:
                self._changed.wait_for(lambda: self._closing, left)

    def _acknowledge(self, at: Position) -> None:
        with self._changed:
            self.acked, self._known = at.seq, at
            if at.seq >= self._durable:
                self._waiting = None
            elif self._waiting is None or at.seq >= self._waiting[0]:
                self._waiting = (self._durable, self._clock())
            if self._waiting is None and self._error is not None:
                log.info("audit_sink_recovered", sink=self.settings.name, records=at.seq)
                self._error = None
            self._changed.notify_all()

    def _more(self) -> bool:
        """Wait until there is something to do. False at an orderly end."""
        with self._changed:
            if self._last_round:
                return False
            wait_s = max(0.0, self._heads_due - time.monotonic())
            self._changed.wait_for(lambda: self._durable > self.acked or self._closing, wait_s)
            if self._closing and self._durable == self.acked:
                # Once more, for the head that covers everything.
                self._last_round, self._heads, self._heads_due = True, None, 0.0
            return True

    def _gather_heads(self) -> None:
        """Take the growing files as they are now, and what has to be there before they are."""
        if self._heads is not None or time.monotonic() < self._heads_due:
            return
        parts = {name: self._local.history(name, self._held.get(name, 0)) for name in HISTORIES}
        self._heads = _Heads(covered_by_heads(parts), {name: data for name, data in parts.items() if data})

    def _put_heads(self, at: Position) -> None:
        if self._heads is None or at.seq < self._heads.size:
            return
        self._put_small_files(at)
        for name, data in self._heads.parts.items():
            self._sink.put_history(name, self._held.get(name, 0), data)
            self._held[name] = self._held.get(name, 0) + len(data)
        more = any(len(data) > MOST_HISTORY // 2 for data in self._heads.parts.values())
        self._heads, self._heads_due = None, 0.0 if more else time.monotonic() + self._sink.heads_every_s
        if at != self._saved:
            self._positions.save(at)
            self._saved = at

    def _put_small_files(self, at: Position) -> None:
        """Keys, and seals of segments that are there whole."""
        for name in self._local.small_files():
            if name in self._held:
                continue
            data = self._local.read(name)
            if covered_by_seal(name, data) <= at.seq:
                self._sink.put_file(name, data)
                self._held[name] = len(data)
