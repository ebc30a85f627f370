"""The policy in force, with the guards that were built for it, and how it is replaced.

A new one is built off to the side and then swapped in with one assignment: an exchange sees the old pair or the new
one, never a mix, and one that has begun keeps what it began with. One that fails changes nothing and is a record, a
metric and a log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping
from pathlib import Path

import structlog

from gateway.bundles.errors import BundleError
from gateway.entries import Record, policy_identity
from gateway.errors import ConfigError, Conflict, GatewayError
from gateway.guard_settings import Guards, facts
from gateway.jsonstrict import Json
from gateway.metrics import Metrics
from gateway.pipeline import InForce
from gateway.policy_copies import keep_copy
from gateway.policy_source import BundleSource, Found, PolicySource
from gateway.records import Records
from guards.errors import GuardSetupError
from guards.memory import Counts
from guards.panel import Panel
from guards.registry import RULES, ModelSource, build, identity
from policies.errors import FileErrors
from policies.model import Policy

log = structlog.get_logger()
_REFUSALS = (FileErrors, BundleError, GuardSetupError, ConfigError, OSError)
"""What is wrong with a policy that does not come into force."""


class PolicyInForce:
    """Holds the one pointer."""

    def __init__(
        self,
        source: PolicySource,
        guards: Guards,
        sources: Mapping[str, ModelSource],
        records: Records,
        metrics: Metrics,
        *,
        copies: Path | None = None,
        classes: Container[str] = (),
        is_bound: bool = False,
    ) -> None:
        """`guards` is what the configuration names, `sources` where those that can be asked are, `copies` where each
        policy's text is kept for those who read the records later, `classes` those in which exchanges may be kept."""
        self._source, self._records, self._metrics = source, records, metrics
        self._guards, self._known, self._sources = guards, facts(guards), dict(sources)
        self._copies, self._classes = copies, classes
        self._in_force: InForce | None = None
        self._found: Found | None = None
        self._reloading: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        if not is_bound:  # detectors of two policies may have one name; the metrics show those of the policy for all
            metrics.watch_memories(self._memory_counts)

    def current(self) -> InForce:
        """The pair in force at this moment."""
        assert self._in_force is not None, "load_first comes first"
        return self._in_force

    @property
    def found(self) -> Found:
        """Where the policy in force came from."""
        assert self._found is not None, "load_first comes first"
        return self._found

    def _memory_counts(self) -> dict[str, dict[str, Counts]]:
        in_force = self._in_force
        return {name: guard.counts() for name, guard in in_force.panel.memories.items()} if in_force else {}

    async def load_first(self) -> None:
        """Load at start. Raises FileErrors or ConfigError: nothing is served without a policy."""
        try:
            found = await asyncio.to_thread(self._source.first, self._known)
            built = await asyncio.to_thread(self._built, found)
        except GuardSetupError as exc:
            raise ConfigError("guard_unusable", str(exc)) from exc
        except BundleError as exc:
            raise ConfigError(exc.code, str(exc)) from exc
        except OSError as exc:
            raise ConfigError("config_unreadable", f"`{exc.filename}`: {exc.strerror}") from exc
        # The model host was started with the models of this policy; one that asks for more would answer 503 to all.
        asked = {spec.use for spec in built.policy.detectors.values()}
        self._sources = {use: at for use, at in self._sources.items() if use in asked or at.is_remote}
        for passed_over in found.passed_over:
            log.error("policy_rejected", problems=str(passed_over), in_force=built.policy.digest)
            await self._records.append(_rejected(passed_over))
        await self._adopt(found, built)

    def reload_soon(self) -> None:
        """Reload in the background. For a signal handler."""
        task = asyncio.get_running_loop().create_task(self.reload())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def reload(self, *, if_changed: bool = False) -> None:
        """Replace the policy, or keep the old one and say why in record, metric and log."""
        try:
            await self._replace(lambda: self._source.again(self._known, self.current().policy), {}, if_changed)
        except _REFUSALS:
            return
        except GatewayError as exc:
            log.error("policy_not_recorded", code=exc.code, in_force=self.current().policy.digest)

    async def reload_told(self, who: Mapping[str, Json]) -> Found:
        """As `reload`, for somebody who waits. Raises GatewayError."""
        return await self._told(lambda: self._source.again(self._known, self.current().policy), who)

    async def activate(self, data: bytes, who: Mapping[str, Json]) -> Found:
        """Put a bundle in force that an operator brings. Raises GatewayError."""
        source = self._bundles()
        return await self._told(lambda: source.given(data, self._known, self.current().policy), who)

    async def roll_back(self, digest: str | None, who: Mapping[str, Json]) -> Found:
        """Put an earlier bundle in force again. Raises GatewayError."""
        source = self._bundles()
        return await self._told(lambda: source.earlier(digest, self._known, self.current().policy), who)

    def history(self) -> tuple[str, ...]:
        """Digests of the bundles that were in force before, the latest last; of a plain file nothing is known."""
        return self._source.state().history if isinstance(self._source, BundleSource) else ()

    def _bundles(self) -> BundleSource:
        if not isinstance(self._source, BundleSource):
            raise Conflict("policy_not_signed", "the policy of this gateway is a file: change that and reload")
        return self._source

    async def _told(self, find: Callable[[], Found], who: Mapping[str, Json]) -> Found:
        try:
            return await self._replace(find, who)
        except BundleError as exc:
            raise Conflict(exc.code, str(exc)) from exc
        except OSError as exc:
            raise Conflict("policy_rejected", exc.strerror or "unreadable") from exc
        except _REFUSALS as exc:
            raise Conflict("policy_rejected", str(exc)) from exc

    async def _replace(self, find: Callable[[], Found], who: Mapping[str, Json], if_changed: bool = False) -> Found:
        """One after the other: the last one found is in force. Raises why it is not, after the record of that."""
        async with self._turn:
            try:
                found = await asyncio.to_thread(find)
                if if_changed and found.is_same(self.found):
                    return found
                built = await asyncio.to_thread(self._built, found)
            except _REFUSALS as exc:
                self._metrics.reloads.labels("rejected").inc()
                log.error("policy_rejected", problems=str(exc), in_force=self.current().policy.digest)
                await self._reject(exc, who)
                raise
            try:
                await self._adopt(found, built, who)
            except GatewayError:
                self._metrics.reloads.labels("rejected").inc()
                raise
            self._metrics.reloads.labels("loaded").inc()
        return found

    async def _adopt(self, found: Found, built: InForce, who: Mapping[str, Json] | None = None) -> None:
        # The record is durable first, so no decision can cite a policy whose loading the log does not know.
        policy = built.policy
        record: Record = {"type": "policy.load", "stage": "complete", "policy": policy_identity(policy)}
        await self._records.append(record | found.record_fields() | dict(who or {}))
        self._in_force, self._found = built, found
        await asyncio.to_thread(self._source.adopted, found)
        log.info("policy_loaded", policy=policy.name, version=policy.version, digest=policy.digest)

    async def _reject(self, exc: Exception, who: Mapping[str, Json]) -> None:
        try:
            await self._records.append(_rejected(exc) | dict(who))
        except GatewayError as unavailable:
            log.error("policy_rejection_not_recorded", code=unavailable.code)

    def _built(self, found: Found) -> InForce:
        policy = found.policy
        self._check_running(policy)
        self._check_kept(policy)
        if self._copies is not None:
            keep_copy(self._copies, found.text, policy.source_digest)
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
            told = f"the policy keeps text in the class `{wanted}`, which is not in `content.classes`"
            raise ConfigError("content_not_configured", told)

    def _check_running(self, policy: Policy) -> None:
        for use in sorted({spec.use for spec in policy.detectors.values()} - set(RULES) - self._sources.keys()):
            if use in self._guards:
                raise GuardSetupError(use, "it was not started with this gateway; a restart loads it")
            raise GuardSetupError(use, "it is not configured; name its model under `guards:` and restart")


def _rejected(exc: Exception) -> Record:
    code = exc.code if isinstance(exc, BundleError | ConfigError) else type(exc).__name__
    problems = exc.count if isinstance(exc, FileErrors) else 1
    record: Record = {"type": "policy.reject", "stage": "complete", "problems": problems}
    return record | {"err": {"code": code, "where": "policy"}}
