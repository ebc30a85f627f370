"""The policy in force, with the guards that were built for it, and how it is replaced.

A reload is built off to the side and then swapped in with one assignment: an exchange sees the old pair or the new one,
never a mix, and one that has begun keeps what it began with. A reload that fails changes nothing and is a record, a
metric and a log line.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import structlog

from gateway.entries import Record, policy_identity
from gateway.errors import ConfigError, GatewayError
from gateway.metrics import Metrics
from gateway.pipeline import InForce
from gateway.records import Records
from guards.errors import GuardSetupError
from guards.panel import Panel
from guards.registry import STARTER_DIRECTORIES, ModelSource, build
from policies.errors import FileErrors
from policies.load import load_policy
from policies.model import Policy

log = structlog.get_logger()


class PolicyInForce:
    """Holds the one pointer."""

    def __init__(self, path: Path, host: httpx.AsyncClient | None, records: Records, metrics: Metrics) -> None:
        """`host` is None when no model host was started; then a policy that asks for guard models is refused."""
        self._path, self._records, self._metrics = path, records, metrics
        directories = STARTER_DIRECTORIES if host is not None else {}
        self._sources = {use: ModelSource(directory, host, use) for use, directory in directories.items() if host}
        self._in_force: InForce | None = None
        self._reloading: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def current(self) -> InForce:
        """The pair in force at this moment."""
        assert self._in_force is not None, "load_first comes first"
        return self._in_force

    async def load_first(self) -> None:
        """Load at start. Raises FileErrors or ConfigError: nothing is served without a policy."""
        try:
            self._in_force = await asyncio.to_thread(self._built)
        except GuardSetupError as exc:
            raise ConfigError("guard_unusable", str(exc)) from exc
        except OSError as exc:
            raise ConfigError("config_unreadable", f"`{self._path}`: {exc.strerror}") from exc
        # The model host was started with the models of this policy; one that asks for more would answer 503 to all.
        asked = {spec.use for spec in self._in_force.policy.detectors.values()}
        self._sources = {use: source for use, source in self._sources.items() if use in asked}
        await self._records.append(_loaded(self._in_force.policy))

    def reload_soon(self) -> None:
        """Reload in the background. For a signal handler."""
        task = asyncio.get_running_loop().create_task(self.reload())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def reload(self) -> None:
        """Replace the policy, or keep the old one and say why. One after the other: the last file read is in force."""
        async with self._turn:
            await self._reload()

    async def _reload(self) -> None:
        try:
            built = await asyncio.to_thread(self._built)
            await self._records.append(_loaded(built.policy))
        except (FileErrors, GuardSetupError, OSError) as exc:
            self._metrics.reloads.labels("rejected").inc()
            log.error("policy_rejected", problems=str(exc), in_force=self.current().policy.digest)
            await self._reject(exc)
            return
        except GatewayError as exc:
            self._metrics.reloads.labels("rejected").inc()
            log.error("policy_not_recorded", code=exc.code, in_force=self.current().policy.digest)
            return
        # The record is durable, so no decision can cite a policy whose loading the log does not know.
        self._in_force = built
        self._metrics.reloads.labels("loaded").inc()
        log.info("policy_loaded", policy=built.policy.name, version=built.policy.version, digest=built.policy.digest)

    async def _reject(self, exc: Exception) -> None:
        count = exc.count if isinstance(exc, FileErrors) else 1
        try:
            record: Record = {"type": "policy.reject", "stage": "complete", "problems": count}
            await self._records.append(record | {"err": {"code": type(exc).__name__, "where": "policy"}})
        except GatewayError as unavailable:
            log.error("policy_rejection_not_recorded", code=unavailable.code)

    def _built(self) -> InForce:
        policy = load_policy(self._path)
        guards = {spec.name: build(spec.use, spec.options, self._sources) for spec in policy.detectors.values()}
        return InForce(policy, Panel(guards), {name: guard.identity for name, guard in guards.items()})


def _loaded(policy: Policy) -> Record:
    return {"type": "policy.load", "stage": "complete", "policy": policy_identity(policy)}
