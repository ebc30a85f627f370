"""A worker as a process of its own: nothing is served before there is a lead, and it ends when it is told to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from gateway.listening import Stop
from gateway.worker.link import Link
from gateway.worker.process import kept

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("how", ["signal", "supervisor"])
def test_a_worker_without_a_lead_takes_no_connection_and_ends_when_told(tmp_path: Path, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argv = [sys.executable, "-m", "gateway.worker.process", "--lead", str(tmp_path / "lead.sock")]
        argv += ["--number", "1", "--api-fd", str(listener.fileno())]
        with (tmp_path / "said").open("wb") as said:
            process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stderr=said, pass_fds=[listener.fileno()])
        assert process.stdin is not None
        with socket.create_connection(listener.getsockname(), 5) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            client.settimeout(1.0)
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert process.poll() is None
        until = time.monotonic() + 10
        while time.monotonic() < until and process.poll() is None:
            process.send_signal(signal.SIGTERM) if how == "signal" else process.stdin.close()
            time.sleep(0.2)
        assert process.wait(1) in (0, -signal.SIGTERM), "before it has begun to listen to signals it just ends"
        process.stdin.close()
        assert "Traceback" not in (tmp_path / "said").read_text()


async def test_a_worker_whose_way_to_its_lead_fails_as_nobody_foresaw_ends() -> None:
    """It would answer 503 for ever; its supervisor starts another."""
    told: list[bool] = []

    class BrokenLink:
        async def keep(self) -> None:
            raise KeyError("config")

    class Ear:
        def tell(self) -> None:
            told.append(True)

    with pytest.raises(KeyError):
        await kept(cast(Link, BrokenLink()), cast(Stop, Ear()))
    assert told == [True]
