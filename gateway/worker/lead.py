"""The lead: the one process with the log, as its workers reach it over a unix socket.

The socket lies in a directory that only this user can enter, and who connects is asked of the kernel besides. A worker
counts from when it has every policy that an exchange may be decided by. The gateway is ready when all of them are; it
ends after them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog

from gateway.admin.adapter_routes import Models
from gateway.background import Background
from gateway.config import Config
from gateway.errors import BadRequest, ConfigError, Unavailable
from gateway.health import NOT_PROBED, Probe
from gateway.jsonstrict import Json
from gateway.listening import Share
from gateway.worker.line import Line
from gateway.worker.session import Office, Session
from gateway.worker.shelf import Shelf
from gateway.worker.sums import Sums
from gateway.worker.wire import Body, Kind

STATE_EVERY_S: Final = 1.0
START_S: Final = 30.0
"""How long workers may take to come before it is news that they do not."""
_FRESH_S: Final = 2.5
_LAST_WORDS_S: Final = 3.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Leading:
    """That other processes answer on the API socket, too."""

    socket: Path
    """Where they reach the one that has the log."""
    workers: int
    """How many answer, that one included."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker has to be told before anything else."""

    config: Config
    host_socket: str
    workers: int
    """How many processes answer on the API socket, the lead included."""

    def body(self) -> Body:
        return {
            "config": b64encode(self.config.text).decode(),
            "file": str(self.config.file),
            "state": str(self.config.state),
            "host_socket": self.host_socket,
        }


class Lead:
    """Keeps a session for each worker."""

    def __init__(self, terms: Terms, office: Office, shelf: Shelf, sums: Sums) -> None:
        self._terms, self._office, self._shelf, self._sums = terms, office, shelf, sums
        self._sessions: dict[int, Session] = {}
        """By number, those that said hello and are not gone."""
        self._joined: set[Session] = set()
        self._finishing, self._telling = Background(), Background()
        self._server: asyncio.AbstractServer | None = None
        self._began, self._were_ready = time.monotonic(), set[int]()
        self._models: dict[str, bool] = {}
        """Those that came (True) or went while the gateway runs."""
        self.share = Share(self._least)
        self._closing, self._rest = False, asyncio.Event()

    async def listen(self, path: Path) -> None:
        """Take workers from now on. ConfigError where others could reach the socket."""
        loop, listener = asyncio.get_running_loop(), _bound(path)
        self._server = await loop.create_unix_server(lambda: Line(Session(self._office, self)), sock=listener)

    def tell(self, state: Callable[[], Mapping[str, str]]) -> None:
        """Say once a second how the lead is doing."""

        async def run() -> None:
            while True:
                checks: dict[str, Json] = {**state()}
                least = min(self.share.connections(), self._least())
                for session in self._joined:
                    self._tell(session, Kind.STATE, {"checks": checks, "least": least})
                await asyncio.sleep(STATE_EVERY_S)

        self._telling.start(run())

    def _least(self) -> int:
        """Of workers that can take some."""
        since = time.monotonic() - _FRESH_S
        fresh = (one.connections for one in self._joined if one.line is not None and one.line.heard_at > since)
        return min(fresh, default=self.share.connections())

    def probes(self) -> dict[str, Probe]:
        """One for each worker that there should be."""
        return {f"worker_{number}": self._probe(number) for number in range(1, self._terms.workers)}

    def _probe(self, number: int) -> Probe:
        async def probe() -> None:
            try:
                look()
                self._were_ready.add(number)
            except Unavailable as exc:
                if number in self._were_ready or time.monotonic() > self._began + START_S:
                    raise
                raise Unavailable(NOT_PROBED, "a worker has not come yet") from exc

        def look() -> None:
            session = self._sessions.get(number)
            if session is None or session not in self._joined or session.line is None:
                raise Unavailable("worker_away", "a worker is not there")
            if session.line.is_silent:
                raise Unavailable("worker_silent", "a worker says nothing")
            if not session.is_ready:
                raise Unavailable("worker_not_ready", "a worker lacks something that an exchange needs")

        return probe

    def arrived(self, session: Session, number: int, release: str) -> Body:
        if self._closing:
            raise Unavailable("worker_too_late", "the lead ends")
        if not 0 < number < self._terms.workers:
            raise BadRequest("worker_unknown", f"there is no worker {number} here")
        if release != version("gatehouse"):
            raise BadRequest("worker_other_version", "the worker is another version than the lead")
        before = self._sessions.get(number)
        if before is not None:
            before.cut_off()
        self._sessions[number] = session
        return self._terms.body()

    async def joined(self, session: Session) -> None:
        await self._shelf.join(session)
        if session.is_open:
            for name, is_served in self._models.items():
                self._tell(session, Kind.MODEL, {"model": name, "served": is_served})
            self._joined.add(session)
            self._sums.back(session.process)
            log.info("worker_joined", worker=session.number)

    def model(self, name: str, *, is_served: bool) -> None:
        """Say which model came or went. Whoever enters after this is answered as it says."""
        self._models[name] = is_served
        for session in self._joined:
            self._tell(session, Kind.MODEL, {"model": name, "served": is_served})

    def left(self, session: Session) -> None:
        self._shelf.leave(session)
        self._joined.discard(session)
        if self._sessions.get(session.number) is session:
            del self._sessions[session.number]
        self._sums.keep(session.process, session.last_counts)
        self._rest.set()
        self._finishing.start(session.finish())

    def rested(self) -> None:
        self._rest.set()

    async def exposition(self) -> bytes:
        """Metrics of all processes."""
        return self._sums.exposition(await asyncio.gather(*(session.counts() for session in self._joined)))

    async def close(self, patience_s: float) -> None:
        """Return when every worker has ended its exchanges and said so, or the patience is over."""
        self._closing = True
        for session in self._sessions.values():
            self._tell(session, Kind.FAREWELL, {})
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while any(not session.is_idle for session in self._sessions.values()):
                    self._rest.clear()
                    await self._rest.wait()
        if self._server is not None:
            self._server.close()
        for session in [*self._sessions.values()]:
            session.cut_off()
        self._telling.cancel()
        await self._finishing.ended(_LAST_WORDS_S)  # what cannot be dealt with by then is for the next start

    def _tell(self, session: Session, kind: Kind, body: Body) -> None:
        if session.line is not None:
            session.line.tell(kind, body)


class EverybodysModels:
    """The models of a server that all processes ask."""

    def __init__(self, own: Models, lead: Lead) -> None:
        self._own, self._lead = own, lead

    def serve(self, model: str) -> None:
        self._own.serve(model)
        self._lead.model(model, is_served=True)

    def drop(self, model: str) -> None:
        self._own.drop(model)
        self._lead.model(model, is_served=False)


def _bound(path: Path) -> socket.socket:
    directory = path.parent.stat()
    if directory.st_uid != os.geteuid() or stat.S_IMODE(directory.st_mode) & 0o077:
        raise ConfigError("lead_socket", f"`{path.parent}` can be entered by others, expected mode 0700")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    return listener
