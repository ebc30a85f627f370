"""The order of the steps of one exchange, and nothing else.

    judge the request -> record, durable -> ask the model server -> hold back
    -> judge a window -> record, durable -> release

A record is on disk before anything it decides has an effect. So a crash leaves at most a record without an answer,
which `gatehouse audit verify` accepts and the next start closes as an orphan; an answer without a record cannot happen.
Streamed and unary answers take the same path: only the release rule differs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.disconnect import unbroken
from gateway.entries import Exchange, Record, judged, overflow_records, refusal, request_fields
from gateway.errors import GatewayError, UpstreamFailed
from gateway.exchange import AnswerEvent, ChatRequest, Released, Usage
from gateway.holdback import Holdback, ReleaseRule, Window, keeps_json
from gateway.jsonstrict import Json, dumps
from gateway.pump import Pump
from gateway.rewrite import with_redactions
from guards.panel import Panel
from guards.verdict import Context, Finding, GuardIdentity, Part
from policies.decide import decide
from policies.model import Action, Decision, Facts, Policy


class Audit(Protocol):
    """Where records go. Returns the record's number once it is durable; raises if it cannot be made so."""

    async def append(self, record: Record) -> int: ...


class ModelServer(Protocol):
    """Where judged requests go."""

    async def served_as(self, model: str) -> str: ...

    def answer(self, body: bytes, *, stream: bool, choices: int) -> AsyncGenerator[AnswerEvent]: ...


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy with the guards built for it. An exchange keeps the one it started with."""

    policy: Policy
    panel: Panel
    identities: Mapping[str, GuardIdentity]

    @property
    def longest_wait_s(self) -> float:
        """The deadline over all detectors: no part waits longer than the slowest of them may take."""
        return max((spec.timeout_s for spec in self.policy.detectors.values()), default=1.0)

    async def judge(
        self, parts: Sequence[Part], exchange: Exchange, model: str, context: Context
    ) -> tuple[list[Finding], Decision]:
        """What every detector says of every part its scope asks for, and what the policy concludes."""
        deadline = asyncio.get_running_loop().time() + self.longest_wait_s
        findings = await self.panel.judge(parts, self.policy.detectors_for, deadline, context)
        facts = Facts(tuple(parts), exchange.caller.tenant, exchange.caller.app, model)
        return findings, decide(self.policy, findings, facts)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request passed, and the record that says so is durable."""

    record: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Blocked:
    """The policy stopped the request, or the answer. Nothing of the exchange follows."""

    record: int
    decision: Decision
    on_answer: bool


Step = Admitted | Blocked | Released


class Pipeline:
    """Runs exchanges. Holds no state of any of them."""

    def __init__(self, audit: Audit, server: ModelServer, digest_key: bytes) -> None:
        self._audit, self._server, self._digest_key = audit, server, digest_key

    async def run(self, exchange: Exchange, in_force: InForce, request: ChatRequest) -> AsyncGenerator[Step]:
        """Yield what may leave, in order. Closing the iterator early writes the closing record of an abort."""
        try:
            served = await self._server.served_as(request.model)
            context = Context.of(request.parts, exchange.caller.tenant)
            findings, decision = await in_force.judge(request.parts, exchange, request.model, context)
        except asyncio.CancelledError:
            gone = refusal(exchange.id, exchange.caller, exchange.route, "client_gone", 499, request.bytes_in)
            with suppress(GatewayError):  # nobody is left who could be told
                await unbroken(self._audit.append(gone))
            raise
        canonical = dumps(request.body | {"model": served})
        body, decision = _rewritten(request, served, canonical, decision)
        blocked = decision.action is Action.BLOCK
        admission = self._record_admission(
            exchange, in_force, request, findings, decision, (canonical, b"" if blocked else body), served
        )
        if blocked:
            yield Blocked(await unbroken(admission), decision, on_answer=False)
            return
        answer = _Answer(self._audit, exchange, in_force, request, context)
        async with (
            aclosing(self._server.answer(body, stream=request.stream, choices=request.n)) as events,
            aclosing(answer.steps(admission, decision, events)) as steps,
        ):
            async for step in steps:
                yield step

    async def _record_admission(
        self,
        exchange: Exchange,
        in_force: InForce,
        request: ChatRequest,
        findings: Sequence[Finding],
        decision: Decision,
        bodies: tuple[bytes, bytes],
        served: str,
    ) -> int:
        blocked = decision.action is Action.BLOCK
        canonical, body = bodies
        overflow, fields = judged(findings, request.parts, decision, in_force.policy, in_force.identities)
        for earlier in overflow_records(exchange, overflow):
            await self._audit.append(earlier)
        record = exchange.record("request.refuse", "complete") if blocked else exchange.record("request.admit", "admit")
        record |= fields | request_fields(request, body, canonical, self._digest_key)
        target: Json = {"upstream": exchange.upstream, "model_req": request.model, "model_served": served}
        record["target"] = target
        return await self._audit.append(record)


def _rewritten(request: ChatRequest, served: str, canonical: bytes, decision: Decision) -> tuple[bytes, Decision]:
    if not decision.redactions or decision.action is Action.BLOCK:
        return canonical, decision
    body = with_redactions(request.body | {"model": served}, request.parts, decision.redactions)
    if body is None:
        return canonical, unredactable(decision)
    return dumps(body), decision


def unredactable(decision: Decision) -> Decision:
    """The block that stands in for a redaction that would break the JSON around it."""
    return Decision(
        action=Action.BLOCK,
        rules=decision.rules,
        code="redaction_impossible",
        message="a part to be redacted is structured text that would no longer be valid",
        status=400,
        flags=decision.flags,
        redactions=(),
        shadow=decision.shadow,
        errors=decision.errors,
        uncovered=decision.uncovered,
    )


class _Answer:
    """An exchange from its admission on: windows judged, recorded, released, and exactly one closing record."""

    def __init__(
        self, audit: Audit, exchange: Exchange, in_force: InForce, request: ChatRequest, context: Context
    ) -> None:
        self._audit, self._exchange, self._in_force, self._request = audit, exchange, in_force, request
        self._context = context
        stream = in_force.policy.stream
        windowed = request.stream and stream.mode == "window"
        self._held = Holdback(
            ReleaseRule(
                mode="window" if windowed else "buffer",
                window=stream.window_chars,
                holdback=stream.holdback_chars,
                max_chars=in_force.policy.limits.output_chars,
            )
        )
        self._windowed, self._max_wait_s = windowed, stream.max_wait_s
        self._admission: int | None = None
        self._windows = 0
        self._usage: Usage | None = None
        self._closed = False

    async def steps(
        self, admission: Coroutine[Any, Any, int], decision: Decision, events: AsyncGenerator[AnswerEvent]
    ) -> AsyncGenerator[Step]:
        """Admitted, then released text, in order, ending in Ended events or in Blocked. Raises GatewayError."""
        try:
            yield Admitted(await unbroken(self._admit(admission)), decision)
            async for window in self._due(events):
                findings, decision = await self._in_force.judge(
                    window.parts, self._exchange, self._request.model, self._context
                )
                if decision.redactions and not keeps_json(window, decision.redactions):
                    decision = unredactable(decision)
                number = await self._record(window, findings, decision)
                if decision.action is Action.BLOCK:
                    yield Blocked(number, decision, on_answer=True)
                    return
                for released in self._held.release(window, decision.redactions):
                    yield released
            if self._usage is not None:
                yield self._usage
        except GatewayError as exc:
            await self._abort(exc.code)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            # The client went away, or we are shutting down. The record must outlive the cancellation that says so.
            with suppress(GatewayError):  # nobody is left who could be told
                await unbroken(self._abort("client_gone"))
            raise
        finally:
            await self._abort("internal_error")

    async def _admit(self, admission: Coroutine[Any, Any, int]) -> int:
        self._admission = await admission
        return self._admission

    async def _due(self, events: AsyncGenerator[AnswerEvent]) -> AsyncGenerator[Window]:
        if self._windowed:
            async with Pump(events) as pump:
                pending_since: float | None = None
                while True:
                    wait = None if pending_since is None else pending_since + self._max_wait_s - time.monotonic()
                    batch = await pump.batch(wait)
                    if batch == []:
                        break
                    self._feed(batch or ())
                    waited = pending_since is not None and time.monotonic() >= pending_since + self._max_wait_s
                    if window := self._held.due(waited=waited):
                        yield window
                    pending_since = (pending_since or time.monotonic()) if self._held.pending else None
        else:
            async for event in events:
                self._feed((event,))
        if self._held.finished != frozenset(range(self._request.n)):
            raise UpstreamFailed("upstream_cut_off", "the model server's answer ended before it was complete")
        yield self._held.last()

    def _feed(self, events: Sequence[AnswerEvent]) -> None:
        for event in events:
            if isinstance(event, Usage):
                self._usage = event
            else:
                self._held.feed(event)

    async def _record(self, window: Window, findings: Sequence[Finding], decision: Decision) -> int:
        closing = window.final or decision.action is Action.BLOCK
        record = self._exchange.record(
            "response.complete" if closing else "response.progress", "complete" if closing else "progress"
        )
        overflow, fields = judged(findings, window.parts, decision, self._in_force.policy, self._in_force.identities)
        for earlier in overflow_records(self._exchange, overflow):
            await self._audit.append(earlier)
        self._windows += 1
        stream = self._stream(decision.action is Action.BLOCK)
        record |= fields | {"admit": self._admission, "stream": stream}
        if closing and self._usage is not None:
            record["usage"] = self._usage.counts
        return await unbroken(self._append(record, closing))

    async def _append(self, record: Record, closing: bool) -> int:
        # A record that was handed over is written even if we are cancelled while waiting: no second end may follow it.
        number = await self._audit.append(record)
        self._closed = closing
        return number

    def _stream(self, blocked: bool) -> Json:
        return {
            "mode": "window" if self._windowed else "buffer",
            "windows": self._windows,
            "released": self._held.released_chars,
            "received": self._held.received_chars,
            "ended_by": "policy" if blocked else "",
        }

    async def _abort(self, code: str) -> None:
        if self._closed or self._admission is None:
            return
        self._closed = True
        record = self._exchange.record("response.abort", "complete")
        record |= {"admit": self._admission, "stream": self._stream(False), "err": {"code": code, "where": "upstream"}}
        await self._audit.append(record)
