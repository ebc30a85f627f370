"""Work beside a running log, in turns, on a thread of its own that gives way often and ends soon.

Neither requests nor the writer wait for it, and the log does not depend on it: a turn that fails in a way that nobody
foresaw is told in the operational log, and the next one is tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Stopped(Exception):
    pass


class Upkeep:
    """One kind of work."""

    def __init__(self, name: str, turn: Callable[[], None], every_s: float, rest_s: float) -> None:
        """A turn at once and then each `every_s`; `pause`, which a turn calls between its steps, takes `rest_s`."""
        self._name, self._turn, self._every_s, self._rest_s = name, turn, every_s, rest_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"audit-{name}", daemon=True)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience_s: float = 5.0) -> None:
        """End soon. Blocks."""
        self._stop.set()
        self._thread.join(patience_s)

    def pause(self) -> None:
        """Give way. Raises Stopped, which a turn lets pass."""
        if self._stop.wait(self._rest_s):
            raise Stopped

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except Stopped:
                return
            # A bug here must not end the thread unseen; the log itself does not depend on it.
            except Exception as exc:  # noqa: BLE001
                log.error("upkeep_crashed", work=self._name, error=type(exc).__name__)
            self._stop.wait(self._every_s)
