"""The order of the steps of one exchange, and nothing else.

    judge the request -> record, durable -> ask the model server -> hold back
    -> judge a window -> record, durable -> release

A record is on disk before anything it decides has an effect. So a crash leaves at most a record without an answer,
which `gatehouse audit verify` accepts and the next start closes as an orphan; an answer without a record cannot happen.
Streamed and unary answers take the same path: only the release rule differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from gateway.answering import Answer, from_template
from gateway.disconnect import Client, unbroken
from gateway.entries import Exchange, Record, judged, overflow_records, refusal, request_fields, tenant_key
from gateway.errors import GatewayError
from gateway.exchange import ChatRequest
from gateway.jsonstrict import Json, dumps
from gateway.restoring import restored
from gateway.reviews import ReviewDesk, Reviewers
from gateway.rewrite import kept_parts, with_redactions
from gateway.sending import Sending, send_to
from gateway.steps import Admitted, Audit, Blocked, InForce, ModelServers, Step
from gateway.tokens import Vault
from gateway.transcript import Keeper, NothingKept, Transcript
from guards.verdict import Context, Finding
from policies.decide import unredactable
from policies.model import Action, Decision
from policies.streams import stream_for

__all__ = ["Admitted", "Audit", "Blocked", "InForce", "ModelServers", "Pipeline", "Step"]


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
        try:
            place = await self._servers.place(request.model)
            exchange = exchange.going_to(place.upstream, place.class_)
            context = Context.of(request.parts, exchange.caller.tenant)
            findings, decision = await in_force.judge(request.parts, exchange, request.model, context)
            sending = await send_to(self._servers, in_force, request, findings, Sending(exchange, place, decision))
            exchange, decision, served = sending.exchange, sending.decision, sending.place.model
            if decision.reviews:
                reviewed = self._reviewers.reviewed(audit, exchange, decision, request.parts, request.person)
                decision = await reviewed
        except asyncio.CancelledError as exc:
            code = client.why_ended(exc)
            status = 499 if client.is_gone else 503
            gone = refusal(exchange.id, exchange.caller, exchange.route, code, status, request.bytes_in)
            with suppress(GatewayError):  # nobody is left who could be told
                await unbroken(audit.append(gone))
            raise
        canonical = dumps(request.body | {"model": served})
        vault = Vault(self._digest_key, exchange.caller.tenant)
        decision = replace(decision, redactions=vault.tokens_in(request.parts, decision.redactions))
        body, decision = _rewritten(request, served, canonical, decision)
        blocked = decision.action is Action.BLOCK
        sent = b"" if blocked or decision.template is not None else body
        key = tenant_key(self._digest_key, exchange.caller.tenant)
        transcript = Transcript(self._keeper, exchange, key)
        fields = request_fields(request, sent, canonical, key)
        admission = _record_admission(
            audit, exchange, in_force, request, findings, decision, fields, sending.target(request), transcript
        )
        if blocked:
            yield Blocked(await unbroken(admission), decision, on_answer=False)
            return
        if decision.template is not None:
            yield Admitted(await unbroken(admission), decision)
            for choice in range(request.n):
                for said in from_template(in_force.policy, decision, choice):
                    yield said
            return
        answer = Answer(audit, exchange, in_force, request, context, client, transcript, self._reviewers)
        async with (
            aclosing(restored(sending.answer(body, request), vault.originals)) as events,
            aclosing(answer.steps(admission, decision, events)) as steps,
        ):
            async for step in steps:
                yield step


async def _record_admission(
    audit: Audit,
    exchange: Exchange,
    in_force: InForce,
    request: ChatRequest,
    findings: Sequence[Finding],
    decision: Decision,
    fields: Record,
    target: Json,
    transcript: Transcript,
) -> int:
    ends = decision.action is Action.BLOCK or decision.template is not None
    overflow, found = judged(findings, request.parts, decision, in_force.policy, in_force.identities)
    for earlier in overflow_records(exchange, overflow):
        await audit.append(earlier)
    record = exchange.record("request.refuse", "complete") if ends else exchange.record("request.admit", "admit")
    if not ends and _leaves_unjudged(exchange, in_force, request):
        record["stream"] = {"mode": "shadow_only", "released": "before it is judged"}
    kept = await transcript.request(kept_parts(request.parts, decision.redactions))
    return await audit.append(record | found | fields | {"target": target} | kept)


def _leaves_unjudged(exchange: Exchange, in_force: InForce, request: ChatRequest) -> bool:
    """Whether the answer leaves before it is judged: the one exception to what is promised, and on record first."""
    facts = exchange.facts(request.parts, request.model, None)
    return request.stream and stream_for(in_force.policy, facts).mode == "shadow_only"


def _rewritten(request: ChatRequest, served: str, canonical: bytes, decision: Decision) -> tuple[bytes, Decision]:
    if not decision.redactions or decision.action is Action.BLOCK:
        return canonical, decision
    body = with_redactions(request.body | {"model": served}, request.parts, decision.redactions)
    if body is None:
        return canonical, unredactable(decision)
    return dumps(body), decision
