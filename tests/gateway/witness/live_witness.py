"""A witness on a real socket, and a log that asks it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette

from gateway.audit.anchors.anchor import HeadNote, Heads
from gateway.audit.anchors.settings import WitnessAt
from gateway.audit.anchors.witness import WitnessAnchor
from gateway.audit.record import Json
from gateway.audit.tile_cache import rebuild
from gateway.witness.app import make_witness_app
from gateway.witness.cosigner import Cosigner
from gateway.witness.seen import SeenFiles
from gateway.witness.service import Witness
from tests.gateway.audit.harness import FixedClock, exchange, opened, trust_in

COSIGNER = Cosigner("bank/witness-2", Ed25519PrivateKey.from_private_bytes(bytes([77] * 32)))


class Served:
    """An application on a port of its own, in a thread."""

    def __init__(self, app: Starlette) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        settings = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def witness_of(path: Path, **more: object) -> Witness:
    """A witness that knows the test log; what it saw is in `path/seen`."""
    key = trust_in(path)
    return Witness({key.name: key}, COSIGNER, SeenFiles(path / "seen"), **more)  # type: ignore[arg-type]


def served(path: Path) -> Served:
    return Served(make_witness_app(witness_of(path)))


def anchor_at(url: str, path: Path, known: int = 0) -> closing[WitnessAnchor]:
    """To be used in a `with`."""
    return closing(WitnessAnchor(WitnessAt(url, COSIGNER.key), path / "log", known))


def ask(url: str, path: Path, head: HeadNote, known: int = 0) -> dict[str, Json]:
    """One head given to the witness at this address."""
    with anchor_at(url, path, known) as anchor:
        return anchor.put(head)


def grow(path: Path, exchanges: int = 1, name: str = "more") -> HeadNote:
    """A run of the gateway: records, a signed head, tiles. The new head."""
    log = opened(path, clock=FixedClock(time.time_ns(), boot=int(time.monotonic() * 1000) % 100_000))
    for number in range(exchanges):
        log.writer.write(exchange(f"{name}-{number}"))
    log.writer.sign_head()
    log.close()
    rebuild(path / "log", *log.writer.head, lambda: None)
    return Heads(path / "log", trust_in(path)).newest()
