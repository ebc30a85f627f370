"""Anchors at work: one thread each, so that one that is slow or gone does not age the others, and the writer waits for
none.

A turn takes the newest signed head there is and gives it away; what happened meanwhile is in the next one. A success is
a line in `anchors.log` and a record. As that record moves the head, too, records of anchors alone are no reason to
anchor again; while nothing else happens, heads are given away at longer intervals, to show that the log still stands.
"""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from gateway.audit.anchors.anchor import Anchor, HeadNote, Heads
from gateway.audit.anchors.errors import ALARMS, AnchorError
from gateway.audit.anchors.history import Anchored, AnchorHistory, Recent
from gateway.audit.anchors.settings import AnchorSettings
from gateway.audit.clock import Clock, SystemClock
from gateway.audit.record import Json

log = structlog.get_logger()
IDLE_S = 600.0
"""How often while nothing happens but anchoring."""
_REPEAT_S = 600.0
"""How often a failure that lasts is logged again."""
Record = Callable[[Mapping[str, Json]], int]
"""Makes a record durable and gives its number. Any exception: it is not."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an anchor has come."""

    settings: AnchorSettings
    last: Anchored | None
    age_s: float
    """Since the last success, or since the start if there never was one."""
    problem: str
    """Code of the last failure; empty after a success."""

    @property
    def trouble(self) -> str | None:
        """Why requests are to be refused; None where they are not, or where the operator did not ask for it."""
        if self.settings.max_age_s is None:
            return None
        if self.problem in ALARMS:
            return f"anchor `{self.settings.name}` holds another history ({self.problem})"
        if self.age_s > self.settings.max_age_s:
            return f"anchor `{self.settings.name}` has had no success for {round(self.age_s)} s"
        return None


class _OwnRecords:
    """Numbers of the records that anchoring itself wrote."""

    def __init__(self) -> None:
        self._lock, self._numbers = threading.Lock(), list[int]()

    def add(self, number: int) -> None:
        with self._lock:
            self._numbers.append(number)
            del self._numbers[:-10_000]

    def since(self, size: int) -> int:
        """How many are behind a head of that size."""
        with self._lock:
            self._numbers.sort()
            return len(self._numbers) - bisect_left(self._numbers, size)


class _Age:
    """How long ago a moment was. The clock on the wall may be set back, or have stood still while nothing ran: of what
    it says and what has passed here since then the longer counts."""

    def __init__(self, clock: Clock, wall_ns: int) -> None:
        self._clock, self._wall_ns = clock, wall_ns
        self._mono_ns = clock.mono_ns() - max(0, clock.wall_ns() - wall_ns)

    def seconds(self) -> float:
        return max(self._clock.wall_ns() - self._wall_ns, self._clock.mono_ns() - self._mono_ns) / 1e9


class AnchorRunner:
    """One anchor and its thread."""

    def __init__(
        self,
        settings: AnchorSettings,
        anchor: Anchor,
        heads: Heads,
        history: AnchorHistory,
        record: Record,
        own: _OwnRecords,
        recent: Recent,
        clock: Clock,
    ) -> None:
        self.settings, self._anchor, self._heads = settings, anchor, heads
        last = recent.last.get(settings.name)
        self._history, self._record, self._own = history, record, own
        self._last, self._problem, self._clock = last, "", clock
        self._age = _Age(clock, last.ts_ns if last is not None else recent.since_ns or clock.wall_ns())
        self._told_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"anchor-{settings.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Give the last head away, once, and end."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def standing(self) -> Standing:
        """From any thread."""
        return Standing(self.settings, self._last, self._age.seconds(), self._problem)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.turn()
                self._stop.wait(self.settings.every_s)
            self.turn()
        finally:
            self._anchor.close()

    def turn(self) -> None:
        """Anchor the newest head, if that is due."""
        try:
            head = self._heads.newest()
            if self._is_due(head):
                self._done(head, self._anchor.put(head))
        except AnchorError as exc:
            self._failed(exc.code, str(exc), is_alarm=exc.is_alarm)
        # A bug in one anchor must not end its thread: its age alone would tell of it.
        except Exception as exc:  # noqa: BLE001
            self._failed("anchor_crashed", type(exc).__name__, is_alarm=False)

    def _is_due(self, head: HeadNote) -> bool:
        last = self._last
        if last is None or self._problem or head.head.size < last.size:
            return True
        if head.head.size - last.size > self._own.since(last.size):
            return True
        idle_s = min(IDLE_S, (self.settings.max_age_s or IDLE_S * 2) / 2)
        return self.standing().age_s >= idle_s

    def _done(self, head: HeadNote, proof: dict[str, Json]) -> None:
        name, kind = self.settings.name, self.settings.place.kind
        root = b64encode(head.head.root).decode()
        done = Anchored(name, kind, head.head.size, root, self._clock.wall_ns())
        if self._problem:
            log.info("anchor_works_again", anchor=name, size=done.size)
        self._last, self._age, self._problem, self._told_at = done, _Age(self._clock, done.ts_ns), "", 0.0
        try:
            self._history.append(done.line(proof))
        except OSError as exc:
            # The head is where it should be. A record would name a line that is not there.
            log.warning("anchor_not_listed", anchor=name, problem=exc.strerror)
            return
        if self._stop.is_set():
            return  # the log is closed by now; the line has to do
        try:
            anchor: dict[str, Json] = {"name": name, "kind": kind, "size": done.size}
            self._own.add(self._record({"type": "checkpoint.anchor", "stage": "complete", "anchor": anchor}))
        # Whatever the log says: the head is anchored, and anchors.log says so.
        except Exception as exc:  # noqa: BLE001
            log.warning("anchor_not_recorded", anchor=name, problem=type(exc).__name__)

    def _failed(self, code: str, problem: str, *, is_alarm: bool) -> None:
        now = time.monotonic()
        if code != self._problem or now - self._told_at > _REPEAT_S:
            tell = log.error if is_alarm else log.warning
            tell("anchor_failed", anchor=self.settings.name, code=code, problem=problem)
            self._told_at = now
        self._problem = code


class Anchors:
    """All anchors of a log."""

    def __init__(
        self,
        made: Sequence[tuple[AnchorSettings, Anchor]],
        new_heads: Callable[[], Heads],
        history: AnchorHistory,
        record: Record,
        clock: Clock | None = None,
    ) -> None:
        recent, own, clock = history.recent(), _OwnRecords(), clock or SystemClock()
        self._runners = [
            AnchorRunner(settings, anchor, new_heads(), history, record, own, recent, clock)
            for settings, anchor in made
        ]

    def start(self) -> None:
        for runner in self._runners:
            runner.start()

    def stop(self, patience_s: float = 5.0) -> None:
        """Give the last head away, and return when that is done or took too long. Blocks."""
        for runner in self._runners:
            runner.stop()
        deadline = time.monotonic() + patience_s
        for runner in self._runners:
            runner.join(max(0.0, deadline - time.monotonic()))

    def standings(self) -> list[Standing]:
        """From any thread."""
        return [runner.standing() for runner in self._runners]

    def trouble(self) -> str | None:
        """Why no request may be admitted, or None."""
        return next((told for standing in self.standings() if (told := standing.trouble)), None)
