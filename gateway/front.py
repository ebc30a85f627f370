"""The front: builds the Gate from a configuration and serves it on sockets it was given.

    python -m gateway.front --config FILE --state DIR --api-fd N --admin-fd N --host-socket PATH

The supervisor owns the listening sockets, so they stay open, and clients wait instead of failing, while a killed front
is replaced. With `--workers N` it is asked by N - 1 further processes for all of which there is one (gateway/worker).
Exit status 2 with one line on stderr means: this cannot work until a person changes something.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
import uvloop
from starlette.routing import Route

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
from gateway.background import Background
from gateway.config import Config, load_config
from gateway.content.office import Keeping, open_keeping
from gateway.door import OwnDoor
from gateway.errors import CANNOT_WORK, ConfigError
from gateway.file_watch import Look, changes, look
from gateway.guard_sources import needed_by_all, remote_probes
from gateway.health import Health
from gateway.listening import Stop, listen, set_aside_start, share_interpreter, stop_without
from gateway.metrics import Metrics
from gateway.operators import OperatorRing
from gateway.pipeline import Pipeline
from gateway.policy_bindings import Binding, Bound
from gateway.policy_builder import PolicyBuilder
from gateway.policy_copies import DIRECTORY as POLICIES
from gateway.policy_in_force import PolicyInForce
from gateway.policy_source import PolicySource
from gateway.reach import Reach, open_reach
from gateway.records import Records
from gateway.reviews import ReviewDesk
from gateway.secret import digest_key
from gateway.worker.lead import EverybodysModels, Lead, Leading, Terms
from gateway.worker.session import Office
from gateway.worker.shelf import Shelf
from gateway.worker.sums import Sums
from policies.errors import FileErrors
from policies.model import Policy

log = structlog.get_logger()
_WORKERS_S: Final = 4.0
"""How much longer than a drain workers may take to have their last records written."""


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


@dataclass(frozen=True, slots=True)
class _House:
    """What is open before there is a policy, and closed after the last exchange."""

    config: Config
    metrics: Metrics
    audit: AuditLog
    records: Records
    anchoring: Anchoring
    reach: Reach
    keeping: Keeping

    @classmethod
    async def open(cls, config: Config, host_socket: str, stack: contextlib.AsyncExitStack) -> _House:
        """What is opened first is closed last: nothing may end that a record still needs."""
        metrics = Metrics()
        _make_state(config.state)
        audit = AuditLog.open(audit_settings(config))
        records = Records(audit, metrics)
        metrics.registry.register(AuditMetrics(audit))
        anchoring = Anchoring(config, audit, metrics)
        # Anchors stop after the log is closed: the head that closing signs is given away, too.
        stack.push_async_callback(anchoring.stop)
        stack.push_async_callback(audit.close)
        stack.push_async_callback(records.settle)
        anchoring.start()
        reach = await open_reach(config, host_socket, stack)
        content = open_keeping(config.content, config.state, config.origin, records, config.approvers)
        keeping = await stack.enter_async_context(content)
        return cls(config, metrics, audit, records, anchoring, reach, keeping)

    def threads(self) -> list[Callable[[], bool]]:
        """Whether those run that write the log and keep text: without them nothing can be answered."""
        office = self.keeping.office
        kept = [lambda: office.store.is_running] if office is not None else []
        return [lambda: self.audit.is_running, *kept]


@dataclass(frozen=True, slots=True)
class _Policies:
    """The policy for everybody, and those for some callers."""

    everybodys: PolicyInForce
    held: Sequence[tuple[Binding, PolicyInForce]]
    bound: Bound
    looked: Mapping[Path, Look]
    """How each file looked before it was read."""

    @classmethod
    async def load(cls, house: _House, shelf: Shelf, tested: Container[str], *, is_shared: bool) -> _Policies:
        """Raises FileErrors or ConfigError: nothing is served without a policy."""
        config = house.config
        paths = (config.policy.path, *(binding.settings.path for binding in config.bindings))
        looked = {path: look(path) for path in paths}

        def in_force(source: PolicySource, binding: Binding | None = None) -> PolicyInForce:
            place = shelf.place()
            builder = PolicyBuilder(
                config.guards,
                house.reach.sources,
                copies=config.state / POLICIES,
                classes=house.keeping.classes,
                around=house.reach.around,
            )
            made = PolicyInForce(
                source,
                builder,
                house.records,
                house.metrics,
                tenants=_tenants(config, binding),
                binding=binding.name if binding is not None else "",
                share=place.offer if is_shared else None,
            )
            place.in_use = made.in_use
            return made

        source, *bound_sources = config.policy_sources(tested)
        everybodys = in_force(source)
        await everybodys.load_first()
        held = [(binding, in_force(own, binding)) for binding, own in zip(config.bindings, bound_sources, strict=True)]
        bound = Bound(held)
        await bound.load_first()
        return cls(everybodys, held, bound, looked)

    def in_use(self) -> tuple[Policy, ...]:
        """All that are in force now."""
        return (self.everybodys.current().policy, *self.bound.policies())

    def reload_soon(self) -> None:
        """For a signal handler."""
        self.everybodys.reload_soon()
        self.bound.reload_soon()

    def follow_files(self, config: Config, background: Background) -> None:
        """Reload each when its file changes, where that is wanted."""
        for one, settings in (
            (self.everybodys, config.policy),
            *((one, binding.settings) for binding, one in self.held),
        ):
            if settings.watch:
                background.start(_follow(one, settings.path, self.looked[settings.path]))


async def serve(
    config: Config,
    api: socket.socket,
    admin: socket.socket,
    host_socket: str,
    leading: Leading | None = None,
    tested: frozenset[str] = frozenset(),
) -> None:
    """Run until SIGTERM or SIGINT. Raises AuditError or FileErrors when it cannot start.

    `tested` are digests of bundles whose tests passed already.
    """
    shelf = Shelf()
    async with contextlib.AsyncExitStack() as stack:
        house = await _House.open(config, host_socket, stack)
        policies = await _Policies.load(house, shelf, tested, is_shared=leading is not None)
        reviews = ReviewDesk(members=house.reach.around.queues.members)
        admission = Admission(config.concurrency, house.anchoring.trouble)
        lead = None
        if leading is not None:
            office = Office(
                house.records, admission, policies.everybodys, policies.bound, house.keeping.keeper, reviews
            )
            sums = Sums(house.metrics.registry)
            lead = Lead(Terms(config, host_socket, leading.workers), office, shelf, sums)
            house.metrics.everywhere = lead.exposition
        health = _health(house, policies, lead)
        gate = _gate(house, policies, admission, reviews, health)
        background = Background()
        stack.callback(background.cancel)
        background.start(health.watch())
        stop = Stop()
        background.start(stop_without(house.threads(), stop))
        background.start(house.records.settle_always())
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, policies.reload_soon)
        policies.follow_files(config, background)
        set_aside_start()
        apps = make_app(gate), make_admin_app(health, house.metrics, _operators_routes(house, policies, reviews, lead))
        # Workers may come once everything is there that they ask for, and before the first client does.
        if lead is not None and leading is not None:
            await lead.listen(leading.socket)
            lead.tell(health.state)

        def draining() -> None:
            health.draining = True

        share = None if lead is None else lead.share
        await listen([*zip(apps, (api, admin), strict=True)], stop, draining, config.drain_s, share)
        # Their last records need the log, which the stack closes.
        if lead is not None:
            await lead.close(config.drain_s + _WORKERS_S)


def _health(house: _House, policies: _Policies, lead: Lead | None) -> Health:
    """All that has to work for an exchange to succeed."""
    probes = {**house.reach.probes(), **house.anchoring.probes(), **house.keeping.probes()}
    return Health(
        {**probes, **(lead.probes() if lead is not None else {})},
        house.records,
        house.metrics,
        any_of=frozenset(house.reach.engines.probes()),
        more=lambda: remote_probes(needed_by_all(house.config.guards, policies.in_use()), house.reach.sources),
    )


def _gate(house: _House, policies: _Policies, admission: Admission, reviews: ReviewDesk, health: Health) -> Gate:
    engines, keeper = house.reach.engines, house.keeping.keeper
    return Gate(
        keys=KeyRing(house.config.keys),
        door=OwnDoor(admission, house.records, policies.everybodys.for_exchange, policies.bound.for_exchange),
        pipeline=Pipeline(engines, digest_key(house.config.key_dir), keeper, reviews),
        upstream=engines,
        records=house.records,
        health=health,
        metrics=house.metrics,
        keeper=keeper,
    )


def _operators_routes(house: _House, policies: _Policies, reviews: ReviewDesk, lead: Lead | None) -> list[Route]:
    desk, engines = Desk(OperatorRing(house.config.operators), house.records), house.reach.engines
    routes = [*admin_routes(desk), *policy_routes(desk, policies.everybodys, policies.held)]
    routes += review_routes(desk, reviews)
    routes += _log_routes(desk, house.config, house.keeping)
    if engines.local and house.reach.host is not None:
        models = engines if lead is None else EverybodysModels(engines, lead)
        routes += adapter_routes(desk, house.reach.host, models, engines.local)
    return routes


def _log_routes(desk: Desk, config: Config, keeping: Keeping) -> list[Route]:
    """For who reads the log, and what is sealed beside it."""
    routes = audit_routes(desk, LogReader(config.audit_dir))
    if keeping.office is not None:
        routes += content_routes(desk, keeping.office, config.audit_dir, digest_key(config.key_dir))
        routes += erasure_routes(desk, keeping.office)
    return routes


def _make_state(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError("state_unwritable", f"`{directory}` cannot be made: {exc.strerror}") from exc


def _tenants(config: Config, own: Binding | None = None) -> frozenset[str]:
    """Those for whom the policy of this binding, or the one for everybody, decides at least sometimes."""
    callers = [entry.caller for entry in config.keys]
    held = [(one, next((binding for binding in config.bindings if binding.holds_for(one)), None)) for one in callers]
    return frozenset(one.tenant for one, binding in held if binding is own)


async def _follow(policy: PolicyInForce, path: Path, since: Look) -> None:
    """Reload when the file changes; a signal may have done it already."""
    async for _ in changes(path, since):
        await policy.reload(if_changed=True)


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
    parser.add_argument("--workers", type=int, default=1, help="processes that answer on the API socket")
    parser.add_argument("--lead-socket", type=Path, help="where the others reach this one")
    parser.add_argument("--tested", action="append", default=[], help="digest of a bundle whose tests passed already")
    args = parser.parse_args(argv)
    logs.set_up("front")
    share_interpreter()
    try:
        config = _config(args.config, args.state)
        api, admin = socket.socket(fileno=args.api_fd), socket.socket(fileno=args.admin_fd)
        leading = Leading(args.lead_socket, args.workers) if args.lead_socket else None
        uvloop.run(serve(config, api, admin, args.host_socket, leading, frozenset(args.tested)))
    except (AuditError, ConfigError) as exc:
        print(f"gatehouse: {exc.code}: {exc}", file=sys.stderr)
        return CANNOT_WORK
    except FileErrors as exc:
        print(exc, file=sys.stderr)
        return CANNOT_WORK
    return 0


if __name__ == "__main__":
    sys.exit(main())
