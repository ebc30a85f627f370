"""A process stops when it is told to, by a signal or by the end of its supervisor, and not before it has answered."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest

from gateway.listening import Stop, stop_without

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import asyncio, socket, sys
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from gateway.edge import Edge
from gateway.listening import Stop, listen, set_aside_start
async def slow(request):
    print("asked", flush=True)
    await asyncio.sleep(float(request.query_params["s"]))
    return PlainTextResponse("whole")
async def main():
    app = Edge(Starlette(routes=[Route("/", slow)]))
    set_aside_start()
    listener = socket.socket(fileno=int(sys.argv[1]))
    print("up", flush=True)
    await listen([(app, listener)], Stop(), lambda: print("draining", flush=True), 5)
    print("down", flush=True)
asyncio.run(main())
"""


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argv = [sys.executable, "-c", PROGRAM, str(listener.fileno())]
        process = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[listener.fileno()]
        )
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process, f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("how", ["signal", "supervisor"])
def test_what_was_asked_is_answered_before_the_end(process: tuple[subprocess.Popen[str], str], how: str) -> None:
    child, url = process
    assert child.stdin is not None
    assert child.stdout is not None
    port = httpx.URL(url).port
    with socket.create_connection(("127.0.0.1", port or 0), 5) as client:
        client.sendall(b"GET /?s=0.3 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert child.stdout.readline() == "asked\n"
        if how == "signal":
            child.send_signal(signal.SIGTERM)
        else:
            child.stdin.close()
            child.stdin = None
        answer = b""
        until = time.monotonic() + 5
        while not answer.endswith(b"whole") and time.monotonic() < until:
            answer += client.recv(4096)
        assert answer.endswith(b"whole")
    assert child.wait(10) == 0
    assert child.stdout.read() == "draining\ndown\n"


async def test_a_process_stops_when_a_thread_is_gone_that_it_is_of_no_use_without() -> None:
    class Ear:
        is_told = False

        def tell(self) -> None:
            self.is_told = True

    ear, writes, keeps = Ear(), [True], [True]
    threads = (lambda: writes[0], lambda: keeps[0])
    task = asyncio.create_task(stop_without(threads, cast(Stop, ear), every_s=0.005))
    await asyncio.sleep(0.02)
    assert not ear.is_told
    keeps[0] = False
    await asyncio.wait_for(task, 5)
    assert ear.is_told
