"""The model host as a child process, for the tests that speak to a real one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx


class HostProcess:
    """`python -m engine.server` as a child whose stdin we hold."""

    def __init__(self, directory: Path, models: list[dict[str, str]]) -> None:
        self.socket = directory / "host.sock"
        given = ["--models", json.dumps(models)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.server", "--socket", str(self.socket), "--threads", "1", *given],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
        )
        self.client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://host", timeout=30
        )

    def wait_until(self, status: int, seconds: float = 40) -> httpx.Response:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if self.accepts() and (response := self.client.get("/health")).status_code == status:
                return response
            time.sleep(0.05)
        raise AssertionError(f"health never became {status}")

    def accepts(self) -> bool:
        """Asked of the socket itself: httpx leaves one open for each refused connection."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def pending(self) -> int:
        return int(self.client.get("/health").json()["pending"])

    def ended(self, seconds: float = 30) -> tuple[int, str]:
        self.process.wait(seconds)
        _, errors = self.process.communicate()
        return self.process.returncode, errors.decode()

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
