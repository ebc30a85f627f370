"""Connections of a socket that several processes accept from, so that each of them gets its share.

The kernel wakes all of them for each connection, and whoever is first takes it. Clients keep their connections, so a
process that happened to be first a few times would have the load from then on. So connections are taken one at a time,
and a process that has more than another waits a little longer before it takes the next. Nobody is refused by this: the
connection waits in the socket, where any process that lives finds it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

STEP_S: Final = 0.002
LONGEST_S: Final = 0.03
_AT_ONCE: Final = 8
_TROUBLE_S: Final = 0.1
"""Until the next try when the system gives no connection: it has no descriptor left, for instance."""
log = structlog.get_logger()


class Turns:
    """Accepts for one process. Has the two methods of a server that uvicorn calls."""

    def __init__(self, listener: socket.socket, make: Callable[[], asyncio.Protocol], ahead: Callable[[], int]) -> None:
        """`ahead`: how many connections this process has more than the one that has the fewest."""
        self._listener, self._make, self._ahead = listener, make, ahead
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._begun: set[asyncio.Task[Any]] = set()
        self._closed = False
        listener.setblocking(False)
        self._wait()

    def close(self) -> None:
        """Take no more."""
        self._closed = True
        self._loop.remove_reader(self._listener.fileno())
        if self._timer is not None:
            self._timer.cancel()

    async def wait_closed(self) -> None:
        """Return when what was taken is handed on."""
        if self._begun:
            await asyncio.wait(self._begun)

    def _wait(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._may_take)

    def _may_take(self) -> None:
        delay = min(LONGEST_S, max(0, self._ahead()) * STEP_S)
        if not delay:
            self._take()
            return
        self._loop.remove_reader(self._listener.fileno())
        self._timer = self._loop.call_later(delay, self._take_left)

    def _take_left(self) -> None:
        """What nobody else has taken meanwhile, and perhaps nobody will: a process may be stopped."""
        self._wait()
        for _ in range(_AT_ONCE):
            if not self._take():
                return

    def _take(self) -> bool:
        """Whether there was one."""
        try:
            taken, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process was first, or the client has gone
        except OSError as exc:
            log.error("connection_not_taken", problem=exc.strerror)
            self._loop.remove_reader(self._listener.fileno())
            self._timer = self._loop.call_later(_TROUBLE_S, self._wait)
            return False
        taken.setblocking(False)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hand_on(self._loop.connect_accepted_socket(self._make, taken))
        return True

    def _hand_on(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(work)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
