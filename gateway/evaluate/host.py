"""A model host for one evaluation: started when local models are judged, and gone when it ends, however it ends.

It is the host that `gatehouse serve` starts, on a socket of its own that only this user can reach. It holds the read
end of a pipe from here, so it does not outlive a killed evaluation either. What it logged is shown only when it could
not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import httpx

from gateway.evaluate.errors import EvaluationError
from gateway.http_client import HOST_URL, make_client
from gateway.supervisor import OFFLINE, Programs

_ASK_EVERY_S = 0.1
_END_S = 10.0
_SHOWN_CHARS = 500


@contextlib.asynccontextmanager
async def model_host(
    models: Sequence[Mapping[str, object]], threads: int, program: Sequence[str] | None = None
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client for the host, once all models are loaded. Raises EvaluationError when they cannot be."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-eval-") as directory:
        socket, told = os.path.join(directory, "host.sock"), Path(directory, "host.log")
        argv = [*(program or Programs().model_host), "--socket", socket, "--models", json.dumps(list(models))]
        process = await _started([*argv, "--threads", str(threads)], told)
        try:
            async with make_client(socket) as client:
                await _loaded(process, client, told)
                yield client
        finally:
            await _ended(process)


async def _started(argv: Sequence[str], told: Path) -> asyncio.subprocess.Process:
    """In a session of its own: Ctrl-C is for the evaluation, which then ends its host."""
    with told.open("wb") as log:
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                env=os.environ | OFFLINE,
            )
        except OSError as exc:
            raise EvaluationError(f"the model host cannot be started: {exc.strerror}") from exc


async def _loaded(process: asyncio.subprocess.Process, client: httpx.AsyncClient, told: Path) -> None:
    while process.returncode is None:
        with contextlib.suppress(httpx.HTTPError):
            if (await client.get(HOST_URL + "/health", timeout=2.0)).status_code == 200:
                return
        await asyncio.sleep(_ASK_EVERY_S)
    raise EvaluationError(f"the model host ended with status {process.returncode}: {_last_words(told)}")


def _last_words(told: Path) -> str:
    """The host's last line says in `message` why it gave up."""
    lines = told.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    with contextlib.suppress(ValueError, KeyError, TypeError):
        last = str(json.loads(last)["message"])
    return "".join(char if char.isprintable() else "?" for char in last[:_SHOWN_CHARS])


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
