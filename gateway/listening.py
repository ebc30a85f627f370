"""Listeners of a process whose sockets are its supervisor's: served until it is told to stop, then drained.

SIGTERM and SIGINT say so, and so does the supervisor's end of stdin when it closes: nothing outlives the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, cast

import structlog
import uvicorn

from gateway.edge import Edge
from gateway.http_protocol import BoundedHttpProtocol
from gateway.turns import Turns

log = structlog.get_logger()
_LAST_RECORDS_S: Final = 3.0
_SWITCH_S: Final = 0.001


class Stop:
    """Told once to stop. One per process."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sys.stdin.fileno(), self._supervisor_gone)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._told.set)

    @property
    def is_told(self) -> bool:
        return self._told.is_set()

    def tell(self) -> None:
        self._told.set()

    async def wait(self) -> None:
        await self._told.wait()

    def _supervisor_gone(self) -> None:
        if not os.read(sys.stdin.fileno(), 1):
            self._loop.remove_reader(sys.stdin.fileno())
            self._told.set()


async def stop_without(threads: Sequence[Callable[[], bool]], stop: Stop, every_s: float = 1.0) -> None:
    """Stop once one of the threads is gone that this process is of no use without; its supervisor starts another."""
    while all(is_running() for is_running in threads):  # noqa: ASYNC110 - a thread that dies sets no event
        await asyncio.sleep(every_s)
    log.error("thread_gone")
    stop.tell()


class Share:
    """How many connections this process has of a socket that others accept from, too."""

    def __init__(self, least: Callable[[], int]) -> None:
        """`least`: how many the process has that has the fewest, as far as it is known."""
        self.least = least
        self.connections: Callable[[], int] = lambda: 0

    def ahead(self) -> int:
        return self.connections() - self.least()


async def listen(
    listeners: Sequence[tuple[Edge, socket.socket]],
    stop: Stop,
    draining: Callable[[], None],
    drain_s: float,
    share: Share | None = None,
) -> None:
    """Serve until told to stop, and until what had begun has ended. `draining` is called when nothing new may begin.

    With a `share` the first socket is one that other processes accept from, too.
    """
    servers = [Server(settings(app, drain_s), None if number else share) for number, (app, _) in enumerate(listeners)]

    async def when_told() -> None:
        await stop.wait()
        draining()
        for server in servers:
            server.should_exit = True

    waiting = asyncio.create_task(when_told())
    await asyncio.gather(*(server.serve([sock]) for server, (_, sock) in zip(servers, listeners, strict=True)))
    waiting.cancel()
    # uvicorn cancels what outlived the drain and does not wait for it; the closing records need the log to be open.
    if cut_off := [task for server in servers for task in server.server_state.tasks]:
        await asyncio.wait(cut_off, timeout=_LAST_RECORDS_S)


def share_interpreter() -> None:
    """How long a busy event loop may keep another thread waiting, such as the audit writer's; 5 ms by default."""
    sys.setswitchinterval(_SWITCH_S)


def set_aside_start() -> None:
    """What start-up made lives as long as the process. Left to the collector, it would be walked through every few
    thousand exchanges, and all of them would wait 50 ms for it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: two servers may share a loop, and one place stops both."""

    def __init__(self, config: uvicorn.Config, share: Share | None = None) -> None:
        super().__init__(config)
        self._share = share
        if share is not None:
            share.connections = lambda: len(self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._share is None or sockets is None:
            await super().startup(sockets)
            return
        await super().startup([])
        made = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        turns = [Turns(sock, lambda: BoundedHttpProtocol(**made), self._share.ahead) for sock in sockets]
        self.servers = cast(list[Any], turns)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def settings(app: Edge, drain_s: float) -> uvicorn.Config:
    """How every listener of ours speaks HTTP."""
    return uvicorn.Config(
        app,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(drain_s)),
        h11_max_incomplete_event_size=16 * 1024,
    )
