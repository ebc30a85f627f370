"""How a trial begins and ends: what is recorded when, and what survives a restart.

A candidate is withdrawn in the moment in which a bound is exceeded; the record, the metric and the log line follow.
Nothing that fails on the way out brings it back. It is promoted only by a record that is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from gateway.background import Background
from gateway.bundles.errors import BundleError
from gateway.entries import Record, Recorder, policy_identity
from gateway.errors import GatewayError
from gateway.jsonstrict import Json
from gateway.metrics import Metrics
from gateway.policy_source import BundleSource
from gateway.trial import End, Trial
from policies.model import Policy

log = structlog.get_logger()


class TrialLife:
    """Of at most one trial at a time."""

    def __init__(
        self,
        records: Recorder,
        metrics: Metrics,
        turn: asyncio.Lock,
        in_force: Callable[[], Policy],
        promote: Callable[[Trial], Awaitable[None]],
        binding: str = "",
    ) -> None:
        """`turn` is held by whoever changes the policy in force, and by the callers of what is said to be in turn."""
        self.running: Trial | None = None
        self._source: BundleSource | None = None
        self._records, self._metrics, self._turn = records, metrics, turn
        self._in_force, self._promote, self._binding = in_force, promote, binding
        self._endings = Background()
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self, source: BundleSource, trial: Trial) -> None:
        """In turn. Raises GatewayError or OSError, and then there is no trial."""
        await asyncio.to_thread(source.on_trial, trial.found)
        policy = trial.candidate.policy
        record: Record = {"type": "policy.load", "stage": "complete", "policy": policy_identity(policy)}
        told: dict[str, Json] = {"trial": {"state": "begun", **trial.fields()}}
        try:
            approval = trial.found.approval_fields()
            await self._records.append(record | trial.found.record_fields() | approval | trial.who | told)
        except GatewayError:
            await asyncio.to_thread(source.off_trial)
            raise
        self._source, self.running = source, trial
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(trial.terms.duration_s, lambda: self._endings.start(self._time_is_over(trial)))
        self._metrics.trials.labels("begun", self._binding).inc()
        log.info("policy_on_trial", policy=policy.name, version=policy.version, digest=policy.digest)

    def withdraw(self, trial: Trial, end: End) -> None:
        """At once, from anywhere."""
        if self.taken(trial):
            self._endings.start(self._recorded_in_turn(trial, end))

    def taken(self, trial: Trial | None = None) -> Trial | None:
        """The trial that ran, if it is this one (None: any). It runs no more."""
        running = self.running
        if running is None or (trial is not None and running is not trial):
            return None
        self.running = None
        running.close()
        if self._timer is not None:
            self._timer.cancel()
        return running

    async def ended(self, trial: Trial, end: End, who: Mapping[str, Json] | None = None) -> None:
        """In turn, after `taken`: tell everybody. What cannot be told changes nothing."""
        self._metrics.trials.labels(str(end), self._binding).inc()
        counts = trial.counts
        policy = trial.candidate.policy
        numbers = {"exchanges": counts.exchanges, "flips": counts.flips, "errors": counts.errors}
        log.warning("policy_withdrawn", why=str(end), policy=policy.name, digest=policy.digest, **numbers)
        said: dict[str, Json] = {**trial.found.record_fields(), "compiled_digest": policy.digest, **counts.fields()}
        await self._append(end, {**trial.terms.fields(), **said}, who)
        try:
            if self._source is not None:
                await asyncio.to_thread(self._source.off_trial, is_withdrawn=end.is_verdict)
        except (BundleError, OSError) as exc:
            log.error("policy_trial_not_closed", error=type(exc).__name__)

    async def end_unfinished(self, source: BundleSource) -> None:
        """At a start: a trial that ran when the gateway stopped is over."""
        digest = (await asyncio.to_thread(source.state)).trial
        if digest:
            self._metrics.trials.labels(str(End.RESTART), self._binding).inc()
            log.warning("policy_withdrawn", why=str(End.RESTART), bundle=digest)
            await self._append(End.RESTART, {"bundle": {"digest": digest}})
            await asyncio.to_thread(source.off_trial)

    async def _append(self, end: End, said: dict[str, Json], who: Mapping[str, Json] | None = None) -> None:
        record: Record = {"type": "policy.rollback", "stage": "complete", "policy": policy_identity(self._in_force())}
        try:
            await self._records.append(
                record | {"trial": {"state": "withdrawn", "why": str(end), **said}} | dict(who or {})
            )
        except GatewayError as exc:
            log.error("policy_withdrawal_not_recorded", code=exc.code)

    async def _recorded_in_turn(self, trial: Trial, end: End) -> None:
        async with self._turn:
            await self.ended(trial, end)

    async def _time_is_over(self, trial: Trial) -> None:
        async with self._turn:
            if self.running is not trial:
                return
            trial.close()
            try:
                await self._promote(trial)
            except (GatewayError, BundleError, OSError) as exc:
                log.error("policy_not_promoted", problem=str(exc))
                if self.taken(trial):
                    await self.ended(trial, End.REFUSED)
                return
            self._metrics.trials.labels("promoted", self._binding).inc()
            log.info("policy_promoted", digest=trial.candidate.policy.digest, exchanges=trial.counts.exchanges)
