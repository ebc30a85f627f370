"""A real nats-server with JetStream on a port of its own, and its stream seen from outside. Not a test itself."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg, StorageType, StreamConfig

from gateway.audit.sinks.settings import SinkSettings, SinksSettings, StreamPlace

PROGRAM = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")
needs_nats_server = pytest.mark.skipif(PROGRAM is None, reason="nats-server is not installed")
STREAM, SUBJECT = "AUDIT", "audit.one"
T = TypeVar("T")


class NatsServer:
    """Started and stopped by the test; keeps its messages in between."""

    def __init__(self, path: Path, more: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._path, self._process = path, None
        self.url, self._options = f"nats://127.0.0.1:{self.port}", {}
        path.mkdir(parents=True, exist_ok=True)
        listen = f'listen: "127.0.0.1:{self.port}"\njetstream {{store_dir: "{path}/store"}}\n'
        (path / "server.conf").write_text(listen + more)

    _process: subprocess.Popen[bytes] | None
    _options: dict[str, Any]

    def see_as(self, **options: Any) -> None:
        """How the test itself connects."""
        self._options = options

    def start(self) -> NatsServer:
        assert PROGRAM is not None
        log = (self._path / "server.log").open("ab")
        with log:
            words = [PROGRAM, "-c", str(self._path / "server.conf")]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        end = time.monotonic() + 10
        while time.monotonic() < end and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        self.stop()
        raise AssertionError((self._path / "server.log").read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        """At once, as a crash would; what it answered for stays in its files."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._process = None

    def __enter__(self) -> NatsServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, work: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        """Do something with the server, from outside."""

        async def asked() -> T:
            client = await nats.connect(self.url, **self._options)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(asked())

    def add_stream(self, **more: Any) -> None:
        config = StreamConfig(name=STREAM, subjects=[f"{SUBJECT}.>"], storage=StorageType.FILE)
        self.ask(lambda js: js.add_stream(config.evolve(**more)))

    def messages(self) -> list[RawStreamMsg]:
        """All there are, in order."""

        async def read(js: JetStreamContext) -> list[RawStreamMsg]:
            state = (await js.stream_info(STREAM)).state
            return [await js.get_msg(STREAM, seq=number) for number in range(1, state.last_seq + 1)]

        return self.ask(read)

    def lines(self) -> list[bytes]:
        """Every record in the stream, in order."""
        found = [message.data or b"" for message in self.messages() if message.subject == f"{SUBJECT}.records"]
        return b"".join(found).splitlines()

    def place(self, **more: Any) -> StreamPlace:
        return StreamPlace(**({"servers": (self.url,), "stream": STREAM, "subject": SUBJECT} | more))

    def sinks(self, path: Path, require: int = 2, **more: Any) -> SinksSettings:
        options = {"retry_s": 0.05, "deadline_s": 3.0} | more
        return SinksSettings((SinkSettings("stream", self.place(), **options),), require, path / "state")
