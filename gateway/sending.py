"""Where a request goes: the place its model is served at, or the one that rules send it to.

A rule may look at what kind of place that is, so a request that is sent elsewhere is decided again with the facts of
the new place (policies/routing.py). Nothing is judged twice: the findings are the same. Rules that send a request in a
circle send it nowhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from gateway.entries import Exchange
from gateway.errors import NotFound, Unavailable
from gateway.exchange import AnswerEvent, ChatRequest
from gateway.jsonstrict import Json
from gateway.steps import InForce, ModelServers, Place
from guards.verdict import Finding
from policies.decide import unseeded
from policies.model import Decision
from policies.routing import along, is_routed


@dataclass(frozen=True, slots=True)
class Sending:
    """A request on its way, and what was decided about it for the place it is at."""

    exchange: Exchange
    place: Place
    decision: Decision
    via: tuple[Exchange, ...] = ()
    """As the exchange was at the places before."""

    def target(self, request: ChatRequest) -> Json:
        """For the record: what was asked for, and where it went."""
        said: dict[str, Json] = {
            "upstream": self.exchange.upstream,
            "model_req": request.model,
            "model_served": self.place.model,
        }
        if self.via:
            said["via"] = [{"upstream": one.upstream, "class": one.upstream_class} for one in self.via]
        return said

    def answer(self, body: bytes, request: ChatRequest) -> AsyncGenerator[AnswerEvent]:
        """What the place says to a judged body."""
        told = self.place.body_for(self.exchange.caller.tenant, body)
        return self.place.server.answer(told, stream=request.stream, choices=request.n)


async def send_to(
    servers: ModelServers, in_force: InForce, request: ChatRequest, findings: Sequence[Finding], first: Sending
) -> Sending:
    """The place where no rule sends the request on. Raises Unavailable when there is none."""
    here, decisions = first, [first.decision]
    while is_routed(here.decision):
        if here.decision.require_seed and "seed" not in request.body:
            return replace(here, decision=unseeded(along(decisions)))
        place = await _place(servers, here.decision)
        exchange = here.exchange.going_to(place.upstream, place.class_)
        if exchange is here.exchange:
            return replace(here, place=place, decision=along(decisions))
        if exchange in here.via:
            raise Unavailable("route_unavailable", "the policy sends such requests in a circle")
        decision = in_force.decide(findings, request.parts, exchange, request.model)
        decisions.append(decision)
        here = Sending(exchange, place, decision, (*here.via, here.exchange))
    return replace(here, decision=along(decisions))


async def _place(servers: ModelServers, decision: Decision) -> Place:
    try:
        return await servers.place(decision.route or "", decision.route_engine)
    except NotFound as exc:
        told = "the model that the policy sends such requests to is not served here"
        raise Unavailable("route_unavailable", told) from exc
