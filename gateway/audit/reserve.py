"""Room on the disk for the last records of exchanges that are open when it fills up.

Three states, looked at once a second: there is room; there is little (`low`), which is said once; there is so little
that no exchange may begin (`refusing`). A file of the log, `reserve`, holds the room that open exchanges need for their
ends. When a write finds the disk full the file is emptied for them, and it is filled again before anything new is
admitted. The file says nothing: it may be removed while no gateway runs.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from gateway.audit.files import Files, Space
from gateway.audit.record import Json

FILE = "reserve"
OK, LOW, REFUSING = "ok", "low", "refusing"
_ORDER = (OK, LOW, REFUSING)
log = structlog.get_logger()


class Reserve:
    """The file and the state. Owned by the writer thread; `state` and `free` may be read from any."""

    def __init__(self, files: Files, directory: Path, size: int, low: float, every_s: float = 1.0) -> None:
        """`size` in bytes, 0 for no reserve; `low` is the part of the disk that is free when it is time to say so."""
        self._files, self._directory, self._size, self._low = files, directory, size, low
        self._every_s = every_s
        self._held = False
        self._looked_at_s: float | None = None
        self._told = ""
        self.state = OK
        self.free = 0
        """Bytes, when last looked at."""

    @property
    def admits(self) -> bool:
        """Whether an exchange may begin."""
        return self.state != REFUSING

    def look(self, now_s: float) -> list[dict[str, Json]]:
        """See how much room there is, now and then, and give the record that tells of a worse state."""
        if self._size == 0 or (self._looked_at_s is not None and now_s < self._looked_at_s + self._every_s):
            return []
        self._looked_at_s = now_s
        try:
            space = self._files.space(self._directory)
            if not self._held:
                space = self._hold(space)
        except OSError as exc:
            # Whatever is wrong with this disk, the next write says so, and more to the point.
            self._tell(str(exc.strerror))
            return self._become(REFUSING if not self._held else self.state)
        self.free, self._told = space.free, ""
        return self._become(self._judge(space), space)

    def release(self) -> bool:
        """Give the room to the records that are to be written now. False if it was given before."""
        if not self._held:
            return False
        self._held = False
        self._become(REFUSING)
        try:
            descriptor = self._files.open(self._directory / FILE, os.O_WRONLY)
            try:
                self._files.truncate(descriptor, 0)
                self._files.datasync(descriptor)
            finally:
                self._files.close(descriptor)
        except OSError as exc:
            self._tell(str(exc.strerror))
            return False
        return True

    def _tell(self, problem: str) -> None:
        """Once, while it stays the same."""
        if problem != self._told:
            log.warning("audit_reserve_failed", problem=problem)
        self._told = problem

    def _hold(self, space: Space) -> Space:
        """Take the room, if there is enough of it left for everybody after that."""
        descriptor = self._files.open(self._directory / FILE, os.O_WRONLY | os.O_CREAT)
        try:
            missing = self._size - self._files.state(descriptor).size
            if missing > 0 and space.free < missing + self._size:
                return space
            if missing != 0:
                self._files.truncate(descriptor, 0)
                self._allocate(descriptor)
        finally:
            self._files.close(descriptor)
        self._held = True
        return self._files.space(self._directory)

    def _allocate(self, descriptor: int) -> None:
        try:
            self._files.allocate(descriptor, self._size)
        except OSError:
            # Half of a reserve would only be missing elsewhere.
            self._files.truncate(descriptor, 0)
            raise

    def _judge(self, space: Space) -> str:
        """What is better than now has to be so by some way, so that the state does not flutter."""
        refusing = self._size * 3 // 2 if self.state == REFUSING else self._size
        low = self._low * space.total * (1.05 if self.state != OK else 1)
        if not self._held or space.free < refusing:
            return REFUSING
        return LOW if space.free < low else OK

    def _become(self, state: str, space: Space | None = None) -> list[dict[str, Json]]:
        before, self.state = self.state, state
        if before == state:
            return []
        is_worse = _ORDER.index(state) > _ORDER.index(before)
        tell = log.warning if is_worse else log.info
        tell("audit_reserve_changed", state=state, free_bytes=space.free if space else self.free)
        if not is_worse or space is None:
            return []
        found: dict[str, Json] = {"state": state, "free": space.free, "total": space.total, "reserve": self._size}
        return [{"type": "audit.reserve_low", "stage": "complete", "space": found}]
