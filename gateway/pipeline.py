"""The order of the steps of one exchange, and nothing else.

    judge the request -> record, durable -> ask the model server -> hold back
    -> judge a window -> record, durable -> release

A record is on disk before anything it decides has an effect. So a crash leaves at most a record without an answer,
which `gatehouse audit verify` accepts and the next start closes as an orphan; an answer without a record cannot happen.
Streamed and unary answers take the same path: only the release rule differs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from gateway.answering import Answer, from_template
from gateway.disconnect import Client, refused_if_cut_off, unbroken
from gateway.entries import Exchange, request_fields, tenant_key
from gateway.exchange import ChatRequest
from gateway.jsonstrict import Json, dumps
from gateway.judgement import judged, overflow_records
from gateway.restoring import restored
from gateway.reviews import ReviewDesk, Reviewers
from gateway.rewrite import kept_parts, with_redactions
from gateway.running import Running
from gateway.sending import Sending, send_to
from gateway.steps import Admitted, Audit, Blocked, InForce, ModelServers, Step
from gateway.tokens import Vault
from gateway.transcript import Keeper, NothingKept, Transcript
from guards.verdict import Context, Finding
from policies.decide import unredactable
from policies.model import Action, Decision

__all__ = ["Admitted", "Audit", "Blocked", "InForce", "ModelServers", "Pipeline", "Step"]


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A judged request in the bytes that go to the model server."""

    decision: Decision
    canonical: bytes = field(repr=False)
    """As it was judged."""
    sent: bytes = field(repr=False)
    """The same with redactions. Empty where nothing goes there: it is blocked, or the policy answers."""


class Pipeline:
    """Runs exchanges, each with a place of its own for its records. Holds no state of any of them."""

    def __init__(
        self,
        servers: ModelServers,
        digest_key: bytes,
        keeper: Keeper | None = None,
        reviewers: Reviewers | None = None,
    ) -> None:
        self._servers, self._digest_key, self._keeper = servers, digest_key, keeper or NothingKept()
        self._reviewers = reviewers or ReviewDesk()

    async def run(
        self, audit: Audit, exchange: Exchange, in_force: InForce, request: ChatRequest, client: Client | None = None
    ) -> AsyncGenerator[Step]:
        """Yield what may leave, in order. Closing the iterator early writes the closing record of an abort."""
        client, exchange = client or Client(), exchange.concerning(request)
        tenant = exchange.caller.tenant
        context, key = Context.of(request.parts, tenant), tenant_key(self._digest_key, tenant)
        async with refused_if_cut_off(audit, exchange, client, request.bytes_in):
            findings, sending = await self._judged(audit, exchange, in_force, request, context)
        vault = Vault(self._digest_key, tenant)
        outgoing = _outgoing(request, sending, vault)
        transcript = Transcript(self._keeper, sending.exchange, key)
        running = Running(audit, sending.exchange, in_force, request, context, client, transcript, key, self._reviewers)
        admission = _record_admission(running, findings, sending, outgoing)
        if outgoing.decision.action is Action.BLOCK:
            yield Blocked(await unbroken(admission), outgoing.decision, on_answer=False)
        elif outgoing.decision.template is not None:
            yield Admitted(await unbroken(admission), outgoing.decision)
            for choice in range(request.n):
                for said in from_template(in_force.policy, outgoing.decision, choice):
                    yield said
        else:
            async with (
                aclosing(restored(sending.answer(outgoing.sent, request), vault.originals)) as events,
                aclosing(Answer(running).steps(admission, outgoing.decision, events)) as steps,
            ):
                async for step in steps:
                    yield step

    async def _judged(
        self, audit: Audit, exchange: Exchange, in_force: InForce, request: ChatRequest, context: Context
    ) -> tuple[list[Finding], Sending]:
        """What guards say of the request, and what is decided for the place it goes to; people are asked here, too."""
        place = await self._servers.place(request.model)
        exchange = exchange.going_to(place.upstream, place.class_)
        findings, decision = await in_force.judge(request.parts, exchange, request.model, context)
        sending = await send_to(self._servers, in_force, request, findings, Sending(exchange, place, decision))
        if sending.decision.reviews:
            decision = await self._reviewers.reviewed(
                audit, sending.exchange, sending.decision, request.parts, request.person
            )
            sending = replace(sending, decision=decision)
        return findings, sending


def _outgoing(request: ChatRequest, sending: Sending, vault: Vault) -> _Outgoing:
    body = request.body | {"model": sending.place.model}
    canonical = dumps(body)
    cuts = vault.tokens_in(request.parts, sending.decision.redactions)
    decision = replace(sending.decision, redactions=cuts)
    redacted: dict[str, Json] | None = body
    if cuts and decision.action is not Action.BLOCK:
        redacted = with_redactions(body, request.parts, cuts)
    if redacted is None:
        decision = unredactable(decision)
    if decision.action is Action.BLOCK or decision.template is not None:
        return _Outgoing(decision, canonical, b"")
    return _Outgoing(decision, canonical, canonical if redacted is body else dumps(redacted))


async def _record_admission(
    running: Running, findings: Sequence[Finding], sending: Sending, outgoing: _Outgoing
) -> int:
    """The number of the record that admits or refuses the request, once it is durable."""
    exchange, request, in_force, decision = running.exchange, running.request, running.in_force, outgoing.decision
    overflow, found = judged(findings, request.parts, decision, in_force.policy, in_force.identities)
    for earlier in overflow_records(exchange, overflow):
        await running.audit.append(earlier)
    type_, stage = ("request.admit", "admit") if outgoing.sent else ("request.refuse", "complete")
    record = exchange.record(type_, stage) | found | {"target": sending.target(request)}
    if outgoing.sent and _leaves_unjudged(running):
        record["stream"] = {"mode": "shadow_only", "released": "before it is judged"}
    record |= request_fields(request, outgoing.sent, outgoing.canonical, running.key)
    record |= await running.transcript.request(kept_parts(request.parts, decision.redactions))
    return await running.audit.append(record)


def _leaves_unjudged(running: Running) -> bool:
    """Whether the answer leaves before it is judged: the one exception to what is promised, and on record first."""
    return running.request.stream and running.stream.mode == "shadow_only"
