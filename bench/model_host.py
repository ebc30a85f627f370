"""A real model host for a benchmark, on a socket of its own. It ends when its stdin does, so it cannot outlive us."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.gatehouse import ROOT
from bench.processes import stop

BASE = "http://model-host"


class NotReady(Exception):
    """The model host ended, did not load its models in time, or answered something else than expected."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A host whose models are loaded."""

    socket: Path
    pid: int

    def session(self, connections: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(self.socket), limit=connections))


@contextmanager
def serving(specs: Sequence[Mapping[str, object]], threads: int, log: Path | None = None) -> Iterator[Serving]:
    """`specs` as `--models` has them; what the host says goes to `log`, or to our own stderr."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-host-") as directory:
        socket = Path(directory) / "host.sock"
        command = [sys.executable, "-m", "engine.server", "--socket", str(socket), "--models", json.dumps(specs)]
        errors = log.open("ab") if log else None
        command += ["--threads", str(threads)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=errors)
        try:
            asyncio.run(_wait_ready(Serving(socket, process.pid), process))
            yield Serving(socket, process.pid)
        finally:
            stop(process)
            if process.stdin is not None:
                process.stdin.close()
            if errors:
                errors.close()


async def _wait_ready(host: Serving, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    async with host.session(1) as session:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise NotReady(f"the model host ended with status {process.returncode}")
            try:
                async with session.get(f"{BASE}/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass  # it has not bound its socket yet
            await asyncio.sleep(0.2)
    raise NotReady(f"no model after {seconds:.0f} s")
