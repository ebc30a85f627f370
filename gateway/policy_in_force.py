"""The policy in force, with the guards that were built for it, and how it is replaced.

A reload is built off to the side and then swapped in with one assignment: an exchange sees the old pair or the new one,
never a mix, and one that has begun keeps what it began with. A reload that fails changes nothing and is a record, a
metric and a log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from pathlib import Path

import structlog

from gateway.entries import Record, policy_identity
from gateway.errors import ConfigError, GatewayError
from gateway.guard_settings import Guards, facts
from gateway.metrics import Metrics
from gateway.pipeline import InForce
from gateway.policy_copies import keep_copy
from gateway.records import Records
from guards.errors import GuardSetupError
from guards.memory import Counts
from guards.panel import Panel
from guards.registry import RULES, ModelSource, build, identity
from policies.errors import FileErrors
from policies.load import load_policy
from policies.model import Policy

log = structlog.get_logger()


class PolicyInForce:
    """Holds the one pointer."""

    def __init__(
        self,
        path: Path,
        guards: Guards,
        sources: Mapping[str, ModelSource],
        records: Records,
        metrics: Metrics,
        *,
        copies: Path | None = None,
        classes: Container[str] = (),
    ) -> None:
        """`guards` is what the configuration names, `sources` where those that can be asked are, `copies` where each
        policy's text is kept for those who read the records later, `classes` those in which exchanges may be kept."""
        self._path, self._records, self._metrics = path, records, metrics
        self._guards, self._known, self._sources = guards, facts(guards), dict(sources)
        self._copies, self._classes = copies, classes
        self._in_force: InForce | None = None
        self._reloading: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        metrics.watch_memories(self._memory_counts)

    def current(self) -> InForce:
        """The pair in force at this moment."""
        assert self._in_force is not None, "load_first comes first"
        return self._in_force

    def _memory_counts(self) -> dict[str, dict[str, Counts]]:
        in_force = self._in_force
        return {name: guard.counts() for name, guard in in_force.panel.memories.items()} if in_force else {}

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
        self._sources = {use: at for use, at in self._sources.items() if use in asked or at.is_remote}
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
        except (FileErrors, GuardSetupError, ConfigError, OSError) as exc:
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
        policy = load_policy(self._path, self._known)
        self._check_running(policy)
        self._check_kept(policy)
        if self._copies is not None:
            keep_copy(self._copies, self._path.read_bytes(), policy.source_digest)
        specs, sources = policy.detectors, self._sources
        guards = {name: build(spec.use, spec.options, sources) for name, spec in specs.items()}
        return InForce(
            policy,
            Panel(guards),
            identities={name: identity(specs[name].use, guard, sources) for name, guard in guards.items()},
            profiles={name: self._guards[spec.use].profile for name, spec in specs.items() if spec.use in self._guards},
        )

    def _check_kept(self, policy: Policy) -> None:
        wanted = policy.audit.retention
        if policy.audit.keeps and wanted not in self._classes:
            told = (
                f"the policy keeps text in the class `{wanted}`, which is not in `content.classes`"
            )
            raise ConfigError("content_not_configured", told)

    def _check_running(self, policy: Policy) -> None:
        for use in sorted({spec.use for spec in policy.detectors.values()} - set(RULES) - self._sources.keys()):
            if use in self._guards:
                raise GuardSetupError(use, "it was not started with this gateway; a restart loads it")
            raise GuardSetupError(use, "it is not configured; name its model under `guards:` and restart")


def _loaded(policy: Policy) -> Record:
    return {"type": "policy.load", "stage": "complete", "policy": policy_identity(policy)}
