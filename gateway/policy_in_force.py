"""The policy in force, with the guards that were built for it, and how it is replaced.

A new one is built off to the side and then swapped in with one assignment: an exchange sees the old pair or the new
one, never a mix, and one that has begun keeps what it began with. One that fails changes nothing and is a record, a
metric and a log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeAlias

import structlog

from gateway.background import Background
from gateway.bundles.errors import BundleError
from gateway.entries import Record, Recorder, policy_identity
from gateway.errors import ConfigError, Conflict, GatewayError
from gateway.exchange import Caller
from gateway.jsonstrict import Json
from gateway.metrics import Metrics
from gateway.pipeline import InForce
from gateway.policy_bindings import BoundLog
from gateway.policy_builder import PolicyBuilder
from gateway.policy_source import BundleSource, Found, PolicySource
from gateway.trial import End, Terms, Trial
from gateway.trial_life import TrialLife
from guards.errors import GuardSetupError
from guards.memory import Counts
from policies.errors import FileErrors

Use: TypeAlias = Callable[[Found, InForce, Mapping[str, Json]], Awaitable[None]]
"""What is done with a policy that was found and built."""
Share: TypeAlias = Callable[[Found], Awaitable[None]]
log = structlog.get_logger()
_REFUSALS = (FileErrors, BundleError, GuardSetupError, ConfigError, OSError)
"""What is wrong with a policy that does not come into force."""


class PolicyInForce:
    """Holds the one pointer."""

    def __init__(
        self,
        source: PolicySource,
        builder: PolicyBuilder,
        records: Recorder,
        metrics: Metrics,
        *,
        tenants: Collection[str] = (),
        binding: str = "",
        share: Share | None = None,
    ) -> None:
        """`tenants`: for whom this policy decides; a trial draws from them. `binding`: its name, if it is not the one
        for everybody; what is recorded and counted names it. `share` returns when other processes are
        ready for a policy, or raises why it may not come into force. The `builder` is for this policy alone."""
        self._source, self._records, self._metrics = source, BoundLog(records, binding), metrics
        self.binding, self._log = binding, log.bind(binding=binding) if binding else log
        self._builder, self._tenants = builder, tenants
        self._share = share or _nobody_else
        self._in_force: InForce | None = None
        self._found: Found | None = None
        self._reloading = Background()
        self._turn = asyncio.Lock()
        self._trials = TrialLife(
            self._records, metrics, self._turn, lambda: self.current().policy, self._promote, binding
        )
        if not binding:  # detectors of two policies may have one name; the metrics show those of the policy for all
            metrics.watch_memories(self._memory_counts)

    def current(self) -> InForce:
        """The pair in force at this moment."""
        assert self._in_force is not None, "load_first comes first"
        return self._in_force

    def for_exchange(self, caller: Caller, exchange_id: str) -> InForce:
        """The pair that decides this exchange: the one in force, or one on trial."""
        trial = self.drawn(caller, exchange_id)
        return self.current() if trial is None else trial.pair()

    def drawn(self, caller: Caller, exchange_id: str) -> Trial | None:
        """The trial whose candidate decides this exchange."""
        trial = self._trials.running
        return trial if trial is not None and trial.takes(caller, exchange_id) else None

    def in_use(self) -> tuple[InForce, ...]:
        """All by which an exchange may be decided that begins now."""
        trial = self._trials.running
        own = (self._in_force,) if self._in_force is not None else ()
        return own if trial is None else (*own, trial.candidate)

    @property
    def trial(self) -> Trial | None:
        """What is on trial at this moment."""
        return self._trials.running

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
            found = await asyncio.to_thread(self._source.first, self._builder.known)
            built = await asyncio.to_thread(self._builder.built, found)
            await self._share(found)
        except GuardSetupError as exc:
            raise ConfigError("guard_unusable", str(exc)) from exc
        except BundleError as exc:
            raise ConfigError(exc.code, str(exc)) from exc
        except OSError as exc:
            raise ConfigError("config_unreadable", f"`{exc.filename}`: {exc.strerror}") from exc
        self._builder.started_with(built.policy)
        for passed_over in found.passed_over:
            self._log.error("policy_rejected", problems=str(passed_over), in_force=built.policy.digest)
            await self._records.append(_rejected(passed_over))
        await self._adopt(found, built)
        if isinstance(self._source, BundleSource):
            await self._trials.end_unfinished(self._source)

    def reload_soon(self) -> None:
        """Reload in the background. For a signal handler."""
        self._reloading.start(self.reload())

    async def reload(self, *, if_changed: bool = False) -> None:
        """Replace the policy, or keep the old one and say why in record, metric and log."""
        try:
            await self._replace(lambda: self._source.again(self._builder.known, self.current().policy), {}, if_changed)
        except _REFUSALS:
            return
        except GatewayError as exc:
            self._log.error("policy_not_recorded", code=exc.code, in_force=self.current().policy.digest)

    async def reload_told(self, who: Mapping[str, Json]) -> Found:
        """As `reload`, for somebody who waits. Raises GatewayError."""
        return await self._told(lambda: self._source.again(self._builder.known, self.current().policy), who)

    async def activate(self, data: bytes, who: Mapping[str, Json]) -> Found:
        """Put a bundle in force that an operator brings. Raises GatewayError."""
        source = self._bundles()
        return await self._told(lambda: source.given(data, self._builder.known, self.current().policy), who)

    async def try_out(self, data: bytes, terms: Terms, who: Mapping[str, Json]) -> Found:
        """Let a bundle decide a share of the exchanges. Raises GatewayError."""
        source = self._bundles()

        def find() -> Found:
            found = source.given(data, self._builder.known, self.current().policy)
            self._check_trial(found, terms)
            return found

        async def begin(found: Found, built: InForce, who: Mapping[str, Json]) -> None:
            stable, withdraw = self.current().policy, self._trials.withdraw
            await self._trials.begin(source, Trial(found, built, stable, terms, self._tenants, withdraw, who))

        return await self._told(find, who, begin)

    async def end_trial(self, who: Mapping[str, Json]) -> bool:
        """Whether there was one. Raises GatewayError where there cannot be."""
        self._bundles()
        async with self._turn:  # one that is just being promoted is none any more
            trial = self._trials.taken()
            if trial is not None:
                await self._trials.ended(trial, End.OPERATOR, who)
        return trial is not None

    async def roll_back(self, digest: str | None, who: Mapping[str, Json]) -> Found:
        """Put an earlier bundle in force again. Raises GatewayError."""
        source = self._bundles()
        return await self._told(lambda: source.earlier(digest, self._builder.known, self.current().policy), who)

    def history(self) -> tuple[str, ...]:
        """Digests of the bundles that were in force before, the latest last; of a plain file nothing is known."""
        return self._source.state().history if isinstance(self._source, BundleSource) else ()

    def _bundles(self) -> BundleSource:
        if not isinstance(self._source, BundleSource):
            raise Conflict("policy_not_signed", "the policy of this gateway is a file: change that and reload")
        return self._source

    async def _told(self, find: Callable[[], Found], who: Mapping[str, Json], use: Use | None = None) -> Found:
        try:
            return await self._replace(find, who, use=use)
        except BundleError as exc:
            raise Conflict(exc.code, str(exc)) from exc
        except OSError as exc:
            raise Conflict("policy_rejected", exc.strerror or "unreadable") from exc
        except _REFUSALS as exc:
            raise Conflict("policy_rejected", str(exc)) from exc

    async def _replace(
        self, find: Callable[[], Found], who: Mapping[str, Json], if_changed: bool = False, use: Use | None = None
    ) -> Found:
        """One after the other: the last one found is in force. Raises why it is not, after the record of that."""
        async with self._turn:
            try:
                found = await asyncio.to_thread(find)
                if if_changed and found.is_same(self.found):
                    return found
                built = await asyncio.to_thread(self._builder.built, found)
                await self._share(found)
            except _REFUSALS as exc:
                self._metrics.reloads.labels("rejected", self.binding).inc()
                self._log.error("policy_rejected", problems=str(exc), in_force=self.current().policy.digest)
                await self._reject(exc, who)
                raise
            try:
                await (use or self._adopt)(found, built, who)
            except GatewayError:
                self._metrics.reloads.labels("rejected", self.binding).inc()
                raise
            if use is None:
                self._metrics.reloads.labels("loaded", self.binding).inc()
        return found

    async def _adopt(self, found: Found, built: InForce, who: Mapping[str, Json] | None = None) -> None:
        # The record is durable first, so no decision can cite a policy whose loading the log does not know.
        policy = built.policy
        record: Record = {"type": "policy.load", "stage": "complete", "policy": policy_identity(policy)}
        await self._records.append(record | found.record_fields() | found.approval_fields() | dict(who or {}))
        is_other = self._found is None or not found.is_same(self._found)
        self._in_force, self._found = built, found
        trial = self._trials.taken() if is_other else None
        await asyncio.to_thread(self._source.adopted, found)
        if trial is not None and trial.found is not found:
            await self._trials.ended(trial, End.REPLACED, who)
        self._log.info("policy_loaded", policy=policy.name, version=policy.version, digest=policy.digest)

    def _check_trial(self, found: Found, terms: Terms) -> None:
        if self._trials.running is not None:
            raise BundleError("trial_running", "there is a trial already; `gatehouse policy rollback --trial` ends it")
        if found.is_same(self.found):
            raise BundleError("trial_pointless", "the bundle is in force already")
        try:
            terms.tenants_of(len(self._tenants))
        except ValueError as exc:
            raise BundleError("trial_pointless", str(exc)) from exc

    async def _promote(self, trial: Trial) -> None:
        await asyncio.to_thread(self._bundles().check_life, trial.found)
        told: dict[str, Json] = {"trial": {"state": "promoted", **trial.fields(), **trial.counts.fields()}}
        await self._adopt(trial.found, trial.candidate, trial.who | told)
        self._metrics.reloads.labels("loaded", self.binding).inc()

    async def _reject(self, exc: Exception, who: Mapping[str, Json]) -> None:
        try:
            await self._records.append(_rejected(exc) | dict(who))
        except GatewayError as unavailable:
            self._log.error("policy_rejection_not_recorded", code=unavailable.code)


async def _nobody_else(_found: Found) -> None:
    """There is but this process."""


def _rejected(exc: Exception) -> Record:
    code = exc.code if isinstance(exc, BundleError | ConfigError) else type(exc).__name__
    problems = exc.count if isinstance(exc, FileErrors) else 1
    record: Record = {"type": "policy.reject", "stage": "complete", "problems": problems}
    return record | {"err": {"code": code, "where": "policy"}}
