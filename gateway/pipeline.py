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

from gateway.answering import Answer
from gateway.disconnect import Client, unbroken
from gateway.entries import Exchange, judged, overflow_records, refusal, request_fields
from gateway.errors import GatewayError
from gateway.exchange import ChatRequest
from gateway.jsonstrict import Json, dumps
from gateway.rewrite import with_redactions
from gateway.steps import Admitted, Audit, Blocked, InForce, ModelServer, Step
from guards.verdict import Context, Finding
from policies.decide import unredactable
from policies.model import Action, Decision

__all__ = ["Admitted", "Audit", "Blocked", "InForce", "ModelServer", "Pipeline", "Step"]


class Pipeline:
    """Runs exchanges. Holds no state of any of them."""

    def __init__(self, audit: Audit, server: ModelServer, digest_key: bytes) -> None:
        self._audit, self._server, self._digest_key = audit, server, digest_key

    async def run(
        self, exchange: Exchange, in_force: InForce, request: ChatRequest, client: Client | None = None
    ) -> AsyncGenerator[Step]:
        """Yield what may leave, in order. Closing the iterator early writes the closing record of an abort."""
        client = client or Client()
        try:
            served = await self._server.served_as(request.model)
            context = Context.of(request.parts, exchange.caller.tenant)
            findings, decision = await in_force.judge(request.parts, exchange, request.model, context)
        except asyncio.CancelledError as exc:
            code = client.why_ended(exc)
            status = 499 if client.is_gone else 503
            gone = refusal(exchange.id, exchange.caller, exchange.route, code, status, request.bytes_in)
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
        answer = Answer(self._audit, exchange, in_force, request, context, client)
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
