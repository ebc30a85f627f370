"""The front worker: builds the Gate from a configuration and serves it on sockets it was given.

    python -m gateway.front --config FILE --state DIR --api-fd N --admin-fd N --host-socket PATH

The supervisor owns the listening sockets, so they stay open, and clients wait instead of failing, while a killed front
is replaced. Exit status 2 with one line on stderr means: this cannot work until a person changes something.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import httpx
import structlog
import uvicorn
import uvloop

from gateway import logs
from gateway.admin.adapter_routes import adapter_routes
from gateway.admin.audit_routes import audit_routes
from gateway.admin.content_routes import content_routes
from gateway.admin.desk import Desk
from gateway.admin.erasure_routes import erasure_routes
from gateway.admin.log_reader import LogReader
from gateway.admin.policy_routes import policy_routes
from gateway.admin.review_routes import review_routes
from gateway.admin.routes import admin_routes
from gateway.admission import Admission
from gateway.anchoring import Anchoring
from gateway.app import Gate, make_admin_app, make_app
from gateway.audit.errors import AuditError
from gateway.audit.log import AuditLog, AuditSettings
from gateway.audit.record import MAX_BYTES
from gateway.audit_metrics import AuditMetrics
from gateway.auth import KeyRing
from gateway.config import Config, load_config
from gateway.content.office import open_keeping
from gateway.door import OwnDoor
from gateway.edge import Edge
from gateway.engines import Engines
from gateway.errors import ConfigError, Unavailable
from gateway.file_watch import changes
from gateway.guard_sources import needed_by_all, open_sources, remote_probes
from gateway.health import Health, Probe
from gateway.http_client import HOST_URL, make_client
from gateway.http_protocol import BoundedHttpProtocol
from gateway.metrics import Metrics
from gateway.operators import OperatorRing
from gateway.pipeline import Pipeline
from gateway.policy_bindings import Binding, Bound
from gateway.policy_copies import DIRECTORY as POLICIES
from gateway.policy_in_force import PolicyInForce
from gateway.policy_source import FileSource
from gateway.queues import Queues
from gateway.records import Records
from gateway.reviews import ReviewDesk
from gateway.secret import digest_key
from gateway.surroundings import Surroundings, loaded_tokens
from policies.errors import FileErrors

log = structlog.get_logger()
CANNOT_WORK: Final = 2
_LAST_RECORDS_S: Final = 3.0
_SWITCH_S: Final = 0.001
"""How long a busy event loop may keep the audit writer's thread waiting for the interpreter; 5 ms by default."""


def audit_settings(config: Config) -> AuditSettings:
    """Where this configuration keeps its log; `gatehouse audit` asks the same."""
    return AuditSettings(
        directory=config.audit_dir,
        origin=config.origin,
        key_path=config.key_dir / "audit.pem",
        head_store=config.head_store,
        epoch_s=config.epoch_s,
        spot_check=True,
        low_space=config.low_space,
        reserve_bytes=config.concurrency.total * MAX_BYTES,
        sinks=config.sinks,
        version={"id": config.origin, "version": version("gatehouse")},
    )


async def serve(config: Config, api: socket.socket, admin: socket.socket, host_socket: str) -> None:
    """Run until SIGTERM or SIGINT. Raises AuditError or FileErrors when it cannot start."""
    metrics = Metrics()
    _make_state(config.state)
    audit = AuditLog.open(audit_settings(config))
    records = Records(audit, metrics)
    metrics.registry.register(AuditMetrics(audit))
    async with contextlib.AsyncExitStack() as stack:
        anchoring = Anchoring(config, audit, metrics)
        stack.push_async_callback(anchoring.stop)
        stack.push_async_callback(audit.close)
        anchoring.start()
        host = await stack.enter_async_context(make_client(host_socket)) if host_socket else None
        engines = await Engines.open(config.engines, host_socket, stack)
        sources = await open_sources(config.guards, host, stack)
        tokens = await asyncio.to_thread(loaded_tokens, config.engines, config.guards)
        queues = Queues(entry.operator for entry in config.operators)
        around = Surroundings(config.engines, tokens, queues, config.sinks.require)
        copies = config.state / POLICIES
        keeping = await stack.enter_async_context(
            open_keeping(config.content, config.state, config.origin, records, config.approvers)
        )
        policy = PolicyInForce(
            config.policy.source(config.approvers, config.state),
            config.guards,
            sources,
            records,
            metrics,
            copies=copies,
            classes=keeping.classes,
            tenants=_tenants(config),
            around=around,
        )

        def make_bound(binding: Binding) -> PolicyInForce:
            source, kept = FileSource(binding.path), keeping.classes
            asked = (source, config.guards, sources, records, metrics)
            return PolicyInForce(*asked, copies=copies, classes=kept, is_bound=True, around=around)

        await policy.load_first()
        bound = Bound((binding, make_bound(binding)) for binding in config.bindings)
        await bound.load_first()
        health = Health(
            {**engines.probes(), **_probes(host), **anchoring.probes(), **keeping.probes()},
            records,
            metrics,
            any_of=frozenset(engines.probes()),
            more=lambda: remote_probes(
                needed_by_all(config.guards, (policy.current().policy, *bound.policies())), sources
            ),
        )
        reviews = ReviewDesk(members=queues.members)
        gate = Gate(
            keys=KeyRing(config.keys),
            door=OwnDoor(Admission(config.concurrency, anchoring.trouble), records, policy.for_exchange, bound.current),
            pipeline=Pipeline(engines, digest_key(config.key_dir), keeping.keeper, reviews),
            upstream=engines,
            records=records,
            health=health,
            metrics=metrics,
            keeper=keeping.keeper,
        )
        watching = asyncio.create_task(health.watch())
        stack.callback(watching.cancel)

        def reload_all() -> None:
            policy.reload_soon()
            bound.reload_soon()

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload_all)
        if config.policy.watch:
            watching_policy = asyncio.create_task(_follow(policy, config.policy.path))
            stack.callback(watching_policy.cancel)
        _set_aside_start()
        desk = Desk(OperatorRing(config.operators), records)
        routes = [*admin_routes(desk), *policy_routes(desk, policy), *audit_routes(desk, LogReader(config.audit_dir))]
        routes += review_routes(desk, reviews)
        if engines.starter is not None and host is not None:
            routes += adapter_routes(desk, host, engines.starter)
        if keeping.office is not None:
            routes += content_routes(desk, keeping.office, config.audit_dir, digest_key(config.key_dir))
            routes += erasure_routes(desk, keeping.office)
        apps = make_app(gate), make_admin_app(health, metrics, routes)
        await _listen(apps, health, (api, admin), config.drain_s)


def _set_aside_start() -> None:
    """What start-up made lives as long as the process. Left to the collector, it would be walked through every few
    thousand exchanges, and all of them would wait 50 ms for it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _make_state(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError("state_unwritable", f"`{directory}` cannot be made: {exc.strerror}") from exc


def _tenants(config: Config) -> frozenset[str]:
    """Those for whom the policy for everybody decides at least sometimes."""
    callers = [entry.caller for entry in config.keys]
    return frozenset(one.tenant for one in callers if not any(binding.holds_for(one) for binding in config.bindings))


def _probes(host: httpx.AsyncClient | None) -> dict[str, Probe]:
    async def model_host() -> None:
        assert host is not None
        await _answers_200(host, "/health")

    return {} if host is None else {"model_host": model_host}


async def _answers_200(client: httpx.AsyncClient, path: str) -> None:
    try:
        response = await client.get(HOST_URL + path, timeout=2.0)
    except httpx.HTTPError as exc:
        raise Unavailable("unreachable", "the model host cannot be reached") from exc
    if response.status_code != 200:
        raise Unavailable("loading", "the model host is still loading")


async def _follow(policy: PolicyInForce, path: Path) -> None:
    """Reload when the file changes; a signal may have done it already."""
    async for _ in changes(path):
        await policy.reload(if_changed=True)


async def _listen(
    apps: tuple[Edge, Edge], health: Health, sockets: tuple[socket.socket, socket.socket], drain_s: float
) -> None:
    servers = [_Server(_uvicorn(app, drain_s)) for app in apps]

    def stop() -> None:
        health.draining = True
        for server in servers:
            server.should_exit = True

    def supervisor_gone() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            loop.remove_reader(sys.stdin.fileno())
            stop()

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), supervisor_gone)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await asyncio.gather(*(server.serve([sock]) for server, sock in zip(servers, sockets, strict=True)))
    # uvicorn cancels what outlived the drain and does not wait for it; the closing records need the log to be open.
    if cut_off := [task for server in servers for task in server.server_state.tasks]:
        await asyncio.wait(cut_off, timeout=_LAST_RECORDS_S)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: two servers share this loop, and one place stops both."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _uvicorn(app: Edge, drain_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(drain_s)),
        h11_max_incomplete_event_size=16 * 1024,
    )


def _config(file: Path, state: Path) -> Config:
    try:
        return load_config(file, state)
    except OSError as exc:
        raise ConfigError("config_unreadable", f"`{file}`: {exc.strerror}") from exc


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway.front")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--api-fd", type=int, required=True)
    parser.add_argument("--admin-fd", type=int, required=True)
    parser.add_argument("--host-socket", default="", help="empty: there is no model host")
    args = parser.parse_args(argv)
    logs.set_up("front")
    sys.setswitchinterval(_SWITCH_S)
    try:
        config = _config(args.config, args.state)
        api, admin = socket.socket(fileno=args.api_fd), socket.socket(fileno=args.admin_fd)
        uvloop.run(serve(config, api, admin, args.host_socket))
    except (AuditError, ConfigError) as exc:
        print(f"gatehouse: {exc.code}: {exc}", file=sys.stderr)
        return CANNOT_WORK
    except FileErrors as exc:
        print(exc, file=sys.stderr)
        return CANNOT_WORK
    return 0


if __name__ == "__main__":
    sys.exit(main())
