"""The starlette application: routes, and how an exception becomes an answer.

Every route under /v1 authenticates, and every request with a body leaves a record, as does every one that is refused.
There is no route that passes a body on without the pipeline: a path that is not in the table is 404.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.auth import KeyRing
from gateway.body import read_body
from gateway.chat import Conversation
from gateway.claims import claimed
from gateway.disconnect import Client, ClientGone, unless_gone
from gateway.door import Door, Visit
from gateway.edge import Edge
from gateway.engines import Engines
from gateway.entries import Exchange, refusal
from gateway.errors import GatewayError, InternalError, MethodNotAllowed, NotFound, Unauthenticated, Unavailable
from gateway.exchange import Caller
from gateway.health import Health
from gateway.ids import exchange_id
from gateway.jsonstrict import Json, dumps
from gateway.ledger import RECEIPT, Ledger
from gateway.logs import log_bug
from gateway.metrics import Metrics
from gateway.moderations import moderate, read_inputs
from gateway.picture_process import PictureProcess
from gateway.pictures import read_chat
from gateway.pipeline import InForce, Pipeline
from gateway.records import Book
from gateway.render import error_body
from gateway.transcript import Keeper, NothingKept


@dataclass(frozen=True, slots=True)
class Gate:
    """What the routes work with. Built once by gateway/front.py."""

    keys: KeyRing
    door: Door
    pipeline: Pipeline
    upstream: Engines
    records: Book
    """For what never comes in."""
    health: Health
    metrics: Metrics
    keeper: Keeper = field(default_factory=NothingKept)
    """Of text, where a policy has it kept."""
    pictures: PictureProcess = field(default_factory=PictureProcess)
    """Unpacks those of requests; started when the first one comes."""


class _Call:
    """One request to a /v1 route: its id, its caller once known, and its closing."""

    def __init__(self, gate: Gate, request: Request, route: str) -> None:
        self.gate, self.request, self.route = gate, request, route
        self.id = exchange_id()
        self.caller: Caller | None = None
        self.bytes_in = 0
        self.ledger = Ledger(gate.records)
        self._begun = time.perf_counter()
        self._open = True
        self._visit: Visit | None = None
        gate.metrics.in_flight.inc()

    async def authenticate(self) -> Caller:
        self.caller = self.gate.keys.caller(self.request.headers.get("authorization"))
        self._visit = await self.gate.door.enter(self.caller, self.id)
        self.ledger = Ledger(self._visit.records)
        self.caller = claimed(self.caller, self.request.headers)
        return self.caller

    def in_force(self) -> InForce:
        """The policy for this caller, at this moment."""
        assert self._visit is not None
        return self._visit.in_force()

    def exchange(self, in_force: InForce) -> Exchange:
        assert self.caller is not None
        upstream = self.gate.upstream.settings
        return Exchange(self.id, self.caller, self.route, upstream.name, in_force.policy, upstream.class_)

    def end(self, outcome: str, code: str) -> None:
        """Count the exchange, once."""
        if self._open:
            self._open = False
            if self._visit is not None:
                self._visit.leave()
            self.gate.metrics.in_flight.dec()
            self.gate.metrics.exchanges.labels(self.route, outcome, code).inc()
            self.gate.metrics.seconds.labels(self.route).observe(time.perf_counter() - self._begun)

    async def refuse(self, exc: GatewayError) -> Response:
        """The answer to a request that failed, after its record."""
        self.end("error", exc.code)
        if not self.ledger.opened:
            exc = await self._record_refusal(exc)
        headers = self.headers()
        if isinstance(exc, Unauthenticated):
            headers["www-authenticate"] = "Bearer"
        if exc.status in (429, 503):
            headers["retry-after"] = "1"
        return Response(error_body(exc, self.id), exc.status, headers, "application/json")

    def headers(self) -> dict[str, str]:
        """Of every answer: the call's id and, once its last record is durable, the receipt for that."""
        return {"x-request-id": self.id} | ({RECEIPT: self.ledger.receipt} if self.ledger.receipt else {})

    async def _record_refusal(self, exc: GatewayError) -> GatewayError:
        record = refusal(self.id, self.caller, self.route, exc.code, exc.status, self.bytes_in)
        try:
            if self.caller is None:
                await self.ledger.append_failed_login(record)
            else:
                await self.ledger.append(record)
        except GatewayError as unavailable:
            return unavailable
        return exc


_Handler = Callable[[_Call], Awaitable[Response]]
_ROUTES: Final = (
    "there is no such route here: applications ask POST /v1/chat/completions, POST /v1/moderations and GET /v1/models"
)
"""For clients that begin with another API of the kind, such as /v1/responses or /v1/messages."""


def make_app(gate: Gate) -> Edge:
    """The API listener's application."""

    def route(path: str, method: str, handler: _Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            call = _Call(gate, request, path)
            try:
                return await handler(call)
            except ClientGone:
                call.end("error", "client_gone")
                return Response(status_code=499)
            except GatewayError as exc:
                return await call.refuse(exc)
            # The drain is over, and what the exchange came to recorded: who has had nothing of it may ask again.
            except asyncio.CancelledError:
                return await call.refuse(Unavailable("shutting_down", "the gateway is stopping"))
            # A bug must not become a traceback in an answer, nor an exchange without an end.
            except Exception as exc:  # noqa: BLE001
                log_bug(call.id, exc)
                return await call.refuse(InternalError())

        return Route(path, endpoint, methods=[method])

    app = Starlette(
        routes=[
            route("/v1/chat/completions", "POST", _chat),
            route("/v1/moderations", "POST", _moderations),
            route("/v1/models", "GET", _models),
            route("/v1/models/{name:path}", "GET", _model),
            *health_routes(gate.health, gate.metrics),
        ],
        exception_handlers={HTTPException: _no_route(_ROUTES)},
    )
    app.router.redirect_slashes = False
    return Edge(app)


def make_admin_app(health: Health, metrics: Metrics, routes: Iterable[Route] = ()) -> Edge:
    """The admin listener's application: what probes and scrapers read, and the operators' routes (gateway/admin)."""
    handlers = {HTTPException: _no_route("there is no such route here")}
    app = Starlette(routes=[*health_routes(health, metrics), *routes], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Edge(app)


async def _chat(call: _Call) -> Response:
    await call.authenticate()
    in_force = call.in_force()
    body = await read_body(call.request, in_force.policy.limits.body)
    call.bytes_in = len(body)
    request = await read_chat(body, in_force.policy.limits, call.gate.pictures)
    exchange = call.exchange(in_force)
    exchange = replace(exchange, subject=await call.gate.keeper.subject(exchange.caller.tenant, request.person))
    conversation = Conversation(call.gate.pipeline, call.ledger, exchange, in_force, request, call.end)
    return await conversation.respond(call.request)


async def _moderations(call: _Call) -> Response:
    await call.authenticate()
    in_force = call.in_force()
    body = await read_body(call.request, in_force.policy.limits.body)
    call.bytes_in = len(body)
    parts = read_inputs(body, in_force.policy.limits.input_chars)
    client = Client()
    work = moderate(call.exchange(in_force), in_force, parts, call.ledger, client, call.gate.keeper)
    answer = await unless_gone(call.request.receive, work, client)
    call.end("allow", "")
    return Response(answer, 200, call.headers(), "application/json")


async def _models(call: _Call) -> Response:
    await call.authenticate()
    names = await call.gate.upstream.models()
    call.end("allow", "")
    rows: list[Json] = [_model_row(name) for name in names]
    return Response(dumps({"object": "list", "data": rows}), 200, {"x-request-id": call.id}, "application/json")


async def _model(call: _Call) -> Response:
    await call.authenticate()
    name = call.request.path_params["name"]
    await call.gate.upstream.served_as(name)
    call.end("allow", "")
    return Response(dumps(_model_row(name)), 200, {"x-request-id": call.id}, "application/json")


def _model_row(name: str) -> Json:
    return {"id": name, "object": "model", "created": 0, "owned_by": "gatehouse"}


def health_routes(health: Health, metrics: Metrics) -> list[Route]:
    """/livez, /readyz and /metrics: content-free, so they need no key."""

    async def livez(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        ready = health.ready
        return JSONResponse({"status": "ok" if ready else "not ready", "checks": health.state()}, 200 if ready else 503)

    async def exposition(_request: Request) -> Response:
        try:
            text = await metrics.told()
        except GatewayError as exc:
            return Response(error_body(exc, exchange_id()), exc.status, media_type="application/json")
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", exposition)]


def _no_route(told: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The answer to a path or method that is not in the table."""

    async def answer(_request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        problem: GatewayError = NotFound("no_such_route", told)
        if exc.status_code == 405:
            problem = MethodNotAllowed("method_not_allowed", "the route does not take this method")
        request_id = exchange_id()
        headers = {"x-request-id": request_id, **(exc.headers or {})}
        return Response(error_body(problem, request_id), problem.status, headers, "application/json")

    return answer
