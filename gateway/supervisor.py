"""`gatehouse serve`: binds the sockets, starts one model host and one front, and keeps both alive.

With `workers: N` there are N processes that answer on the API socket: the front, which leads and has the log, and N - 1
that ask it (gateway/worker).

The sockets are bound here and inherited, so a front that is killed is replaced without a refused connection. The host
and the front do not depend on each other's life: while the host is away, guards are errors and answers are 503. A child
that says it can never work (exit status 2) ends the whole at its first start; later it is only retried, because what
still works should go on. Each child holds the read end of a pipe from here and exits when it closes, so a killed
supervisor leaves no orphan.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.config import Address, Config
from gateway.errors import CANNOT_WORK, ConfigError
from gateway.guard_settings import shipped
from gateway.guard_sources import check_directories, host_models, needed_by_all
from gateway.local_model import check_checkpoints
from policies.model import Policy

OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""No library of the children may look for a file anywhere but on this disk."""
NOT_STARTED: Final = 126
"""As a shell says it: no process, no memory, no such program. Most of these pass, so another try is worth it."""
MODEL_HOST: Final = "model_host"
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_HEALTHY_AFTER_S: Final = 10.0
log = structlog.get_logger()


@dataclass(slots=True)
class _Child:
    """One process that is to stay alive, and how often it lately did not."""

    name: str
    argv: Sequence[str]
    descriptors: Sequence[int] = ()
    process: asyncio.subprocess.Process | None = None
    failures: int = 0
    has_run: bool = False

    async def start(self) -> asyncio.subprocess.Process:
        self.process = await asyncio.create_subprocess_exec(
            *self.argv,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=tuple(self.descriptors),
            start_new_session=True,
            env=os.environ | OFFLINE,
        )
        log.info("child_started", child=self.name, pid=self.process.pid)
        return self.process

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


@dataclass(frozen=True, slots=True)
class Programs:
    """What the children run; their options follow."""

    model_host: Sequence[str] = (sys.executable, "-m", "engine.server")
    front: Sequence[str] = (sys.executable, "-m", "gateway.front")
    worker: Sequence[str] = (sys.executable, "-m", "gateway.worker.process")


class Supervisor:
    """Owns the sockets, the socket directory and the children."""

    def __init__(
        self,
        config: Config,
        policies: Sequence[Policy],
        programs: Programs | None = None,
        tested: Sequence[str] = (),
    ) -> None:
        """`tested`: digests of bundles that passed their tests just now; the front does not test them again."""
        self._config, self._programs, self._tested = config, programs or Programs(), tested
        self._guards = needed_by_all(config.guards, policies)
        self._stopping = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status. Raises ConfigError when an address cannot be bound."""
        check_directories(self._guards)
        check_checkpoints(self._config.local_models)
        for use in sorted(self._config.guards.keys() - {guard.use for guard in self._guards} - shipped().keys()):
            log.info("guard_not_used", guard=use, policy=self._config.policy.path.name)
        with contextlib.ExitStack() as stack:
            api = stack.enter_context(_bound(self._config.api))
            admin = stack.enter_context(_bound(self._config.admin))
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="gatehouse-"))
            host_socket = os.path.join(directory, "host.sock")
            models = self._models()
            children = [self._host(host_socket, models)] if models else []
            lead_socket = os.path.join(directory, "lead.sock")
            front = self._front(api, admin, host_socket if models else "", lead_socket)
            children += [front, *self._workers(api, lead_socket)]
            self._handle_signals(front)
            keepers = [asyncio.create_task(self._keep(child)) for child in children]
            announcing = asyncio.create_task(_announce(self._config))
            told = asyncio.create_task(self._stopping.wait())
            await asyncio.wait((told, *keepers), return_when=asyncio.FIRST_COMPLETED)
            # A child that nobody keeps alive any more, whatever the reason, ends the whole; what it was is raised.
            self._stopping.set()
            announcing.cancel()
            await self._stop(children)
            await asyncio.gather(*keepers)
        return self._status

    def _models(self) -> list[dict[str, object]]:
        """What the model host has to run. Empty where rules and servers do all the work: then none is started."""
        models = host_models(self._guards)
        return models + [one.as_host_model() for one in self._config.local_models]

    def _host(self, host_socket: str, models: Sequence[Mapping[str, object]]) -> _Child:
        argv = [*self._programs.model_host, "--socket", host_socket, "--models", json.dumps(models)]
        return _Child(MODEL_HOST, [*argv, "--threads", str(self._config.host_threads)])

    def _workers(self, api: socket.socket, lead_socket: str) -> list[_Child]:
        """Those that the front leads."""
        return [
            _Child(
                f"worker_{number}",
                [*self._programs.worker, "--lead", lead_socket, "--number", str(number), "--api-fd", str(api.fileno())],
                (api.fileno(),),
            )
            for number in range(1, self._config.workers)
        ]

    def _front(self, api: socket.socket, admin: socket.socket, host_socket: str, lead_socket: str) -> _Child:
        argv = [*self._programs.front, "--config", str(self._config.file)]
        argv += ["--state", str(self._config.state), "--host-socket", host_socket]
        argv += ["--api-fd", str(api.fileno()), "--admin-fd", str(admin.fileno())]
        argv += [f"--tested={digest}" for digest in self._tested]
        if self._config.workers > 1:
            argv += ["--workers", str(self._config.workers), "--lead-socket", lead_socket]
        return _Child("front", argv, (api.fileno(), admin.fileno()))

    def _handle_signals(self, front: _Child) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, front.signal, signal.SIGHUP)

    async def _keep(self, child: _Child) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._live(child)
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            if status == CANNOT_WORK and not child.has_run:
                self._status = CANNOT_WORK
                self._stopping.set()
                return
            child.has_run = child.has_run or lived > _HEALTHY_AFTER_S or status < 0
            child.failures = 0 if lived > _HEALTHY_AFTER_S else child.failures + 1
            pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(child.failures, 10))
            log.warning("child_ended", child=child.name, status=status, lived_s=round(lived, 1), pause_s=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _live(self, child: _Child) -> int:
        """One life of the child: its exit status."""
        try:
            process = await child.start()
        except OSError as exc:
            log.error("child_not_started", child=child.name, problem=exc.strerror)
            return NOT_STARTED
        if self._stopping.is_set():  # it came up behind the back of `_stop`, which had nothing to signal yet
            child.signal(signal.SIGTERM)
        return await process.wait()

    async def _stop(self, children: Sequence[_Child]) -> None:
        """Whoever answers clients first, so that exchanges in flight keep their model host while they end. The front is
        told with its workers and ends after them."""
        answering = [child for child in reversed(children) if child.name != MODEL_HOST]
        for group in (answering, [child for child in children if child.name == MODEL_HOST]):
            for child in group:
                child.signal(signal.SIGTERM)
            for child in group:
                await self._ended(child)

    async def _ended(self, child: _Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        try:
            await asyncio.wait_for(process.wait(), self._config.drain_s + 5)
        except TimeoutError:
            log.warning("child_killed", child=child.name)
            child.signal(signal.SIGKILL)
            await process.wait()


async def _announce(config: Config) -> None:
    """Say once, when an exchange can succeed, where to send it."""
    while not await _is_ready(config.admin):  # noqa: ASYNC110 - another process becomes ready; it has no event here
        await asyncio.sleep(0.25)
    log.info("ready", api=f"http://{config.api}/v1", admin=f"http://{config.admin}", state=str(config.state))


async def _is_ready(admin: Address) -> bool:
    try:
        reader, writer = await asyncio.open_connection(admin.host, admin.port)
        with contextlib.closing(writer):
            writer.write(b"GET /readyz HTTP/1.1\r\nhost: gatehouse\r\nconnection: close\r\n\r\n")
            status = await reader.readline()
    except OSError:
        return False
    return b" 200 " in status


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen(1024)
    except OSError as exc:
        listener.close()
        raise ConfigError("address_unavailable", f"cannot listen on `{address}`: {exc.strerror}") from exc
    return listener
