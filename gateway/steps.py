"""What the steps of an exchange work with and what they come to: policy in force, log, admission, block, release."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.entries import Exchange, Record
from gateway.exchange import AnswerEvent, Released
from guards.asking import salt_of
from guards.panel import Panel
from guards.profiles.profile import ModelProfile
from guards.verdict import Context, Finding, GuardIdentity, Part
from policies.decide import decide
from policies.model import Decision, Facts, Policy

Told = Callable[[Sequence[Finding], Facts, Decision], None]
"""Learns of a decision and cannot change it."""


class Audit(Protocol):
    """Where records go. Returns the record's number once it is durable; raises if it cannot be made so."""

    async def append(self, record: Record) -> int: ...


class Answering(Protocol):
    """What answers judged requests."""

    def answer(self, body: bytes, *, stream: bool, choices: int) -> AsyncGenerator[AnswerEvent]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes."""

    server: Answering
    model: str
    """The server's own name for the model."""
    upstream: str = ""
    """The engine's name; empty: the one that the exchange began with, as in tests with one server."""
    class_: str = ""
    """What kind of place it is, for policies."""
    is_ours: bool = False
    """Whether it is our own model host, which keeps apart what it computed for different tenants."""

    def body_for(self, tenant: str, body: bytes) -> bytes:
        """A judged body, a JSON object with members, with what only our own model host is told."""
        salt = salt_of(tenant) if self.is_ours else ""
        return b'%s,"cache_salt":"%s"}' % (body.removesuffix(b"}"), salt.encode()) if salt else body


class ModelServers(Protocol):
    """Which places there are."""

    async def place(self, model: str, engine: str = "") -> Place:
        """Where a public model name is served, or where it is at the engine of that name. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy with the guards built for it. An exchange keeps the one it started with."""

    policy: Policy
    panel: Panel
    identities: Mapping[str, GuardIdentity]
    profiles: Mapping[str, ModelProfile] = field(default_factory=dict)
    """Of the detectors whose guard is a model: what its scores and codes mean."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970, for what is accepted or rests until a day."""
    told: Told | None = None
    """Of a policy on trial: counts what it decides."""

    @property
    def longest_wait_s(self) -> float:
        """The deadline over all detectors: no part waits longer than the slowest of them may take."""
        return max((spec.timeout_s for spec in self.policy.detectors.values()), default=1.0)

    async def judge(
        self, parts: Sequence[Part], exchange: Exchange, model: str, context: Context
    ) -> tuple[list[Finding], Decision]:
        """What every detector says of every part its scope asks for, and what the policy concludes."""
        findings = await self.find(parts, context)
        return findings, self.decide(findings, parts, exchange, model)

    async def find(self, parts: Sequence[Part], context: Context) -> list[Finding]:
        """What every detector says of every part its scope asks for."""
        deadline = asyncio.get_running_loop().time() + self.longest_wait_s
        return await self.panel.judge(parts, self.policy.detectors_for, deadline, context)

    def decide(
        self,
        findings: Sequence[Finding],
        parts: Sequence[Part],
        exchange: Exchange,
        model: str,
        *,
        released: bool = False,
    ) -> Decision:
        """What the policy concludes about these parts; `released`: their text has left already."""
        facts = exchange.facts(parts, model, int(self.clock()), released=released)
        decision = decide(self.policy, findings, facts)
        if self.told is not None:
            self.told(findings, facts, decision)
        return decision


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request passed, and the record that says so is durable."""

    record: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Blocked:
    """The policy stopped the request, the answer, or one choice of it."""

    record: int
    decision: Decision
    on_answer: bool
    choice: int | None = None
    """The choice that ends here while others go on; None: nothing of the exchange follows."""


Step = Admitted | Blocked | Released
