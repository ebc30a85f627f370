"""A worker's way to its lead: connected, or on the way to be; while it is not, nothing may begin.

An exchange belongs to the line over which it came in. When that is cut it can write no record any more, also when there
is a new line: the lead, or the start of its successor, has written the exchange's end by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog

from gateway.errors import GatewayError
from gateway.worker.errors import LineBrokenError
from gateway.worker.line import Answer, Line
from gateway.worker.wire import Body, Kind

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_FAREWELL_S: Final = 2.0
_NOBODY: Final = 1_000_000
"""Connections of nobody: nothing is left to others that are not known to be there."""
log = structlog.get_logger()


class Link:
    """A Side of a Line, again and again."""

    def __init__(
        self,
        path: Path,
        number: int,
        *,
        terms: Callable[[Body], Awaitable[None]],
        policy: Callable[[Body], Awaitable[None]],
        counts: Callable[[], Body],
        model: Callable[[str, bool], None],
    ) -> None:
        """`terms` is told what the lead works by, at each connection, before it asks `policy` to be built."""
        self._path, self._number = path, number
        self._terms, self._policy, self._counts, self._model = terms, policy, counts, model
        self._joined: Line | None = None
        self._ended = asyncio.Event()
        self.joined = asyncio.Event()
        self.checks: dict[str, str] = {}
        """How the lead is doing, as it said last."""
        self._parted = False
        self.least = _NOBODY
        """Connections of the process that has the fewest."""
        self.parting = False
        """The lead ends: nothing may begin."""

    def current(self) -> Line:
        """For what has begun. Raises LineBrokenError."""
        if self._joined is None:
            raise LineBrokenError
        return self._joined

    def line(self) -> Line:
        """The one over which an exchange may begin. Raises LineBrokenError."""
        line = self.current()
        if self.parting or line.is_silent:
            raise LineBrokenError
        return line

    @property
    def is_up(self) -> bool:
        try:
            return self.line().is_open
        except LineBrokenError:
            return False

    async def keep(self) -> None:
        """Be connected, until farewell is said."""
        pause = _FIRST_PAUSE_S
        while not self._parted:
            if await self._one():
                pause = _FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 2)

    async def _one(self) -> bool:
        """One connection from its beginning to its end. Whether there was one."""
        self._ended.clear()
        try:
            _, line = await asyncio.get_running_loop().create_unix_connection(lambda: Line(self), str(self._path))
        except OSError:
            return False
        try:
            await self._terms(
                await line.call(Kind.HELLO, {"number": self._number, "version": version("gatehouse")}, dict)
            )
            await line.call(Kind.JOIN, {}, dict)
        except GatewayError as exc:
            log.error("lead_refused", code=exc.code)
            line.cut()
            return False
        self._joined, self.parting = line, False
        self.joined.set()
        log.info("lead_joined", pid=line.peer)
        await self._ended.wait()
        log.warning("lead_gone", pid=line.peer)
        return True

    async def part(self) -> None:
        """Say farewell: what was counted goes over, and everything said before."""
        line, self._parted = self._joined, True
        if line is not None:
            line.tell(Kind.PARTING, self._counts())
            line.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _FAREWELL_S)

    def tell_state(self, *, is_ready: bool, connections: int) -> None:
        if self._joined is not None:
            self._joined.tell(Kind.WELL, {"ready": is_ready, "connections": connections})

    def began(self, line: Line) -> None:
        """Nothing begins before the lead has said what it works by."""

    def called(self, kind: Kind, body: Body) -> Answer:
        match kind:
            case Kind.POLICY:
                return self._build(body)
            case Kind.COUNTS:
                return self._counts()
            case _:
                raise ValueError(f"{kind.name} is no call of the lead")

    def told(self, kind: Kind, body: Body) -> None:
        if kind is Kind.STATE and isinstance(checks := body["checks"], dict):
            self.checks = {name: str(said) for name, said in checks.items()}
            self.least = int(str(body["least"]))
        elif kind is Kind.MODEL:
            self._model(str(body["model"]), body["served"] is True)
        elif kind is Kind.FAREWELL:
            self.parting = True

    def ended(self) -> None:
        self._joined = None
        self.checks, self.least = {}, _NOBODY
        self._ended.set()

    async def _build(self, body: Body) -> Body:
        await self._policy(body)
        return {}
