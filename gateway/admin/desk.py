"""How an `/admin` route is made: a person first, then a role, then the work, and a record of whatever was tried.

A route names the roles that may use it, or there is no route. A failed log-in is an `auth.fail` record, rate-limited as
on the API listener; a known operator without the role is one, too, and never suppressed. What a route reads or changes
it records by itself, beginning with `AdminCall.record`, because only the route knows which record must come first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import fields
from gateway.body import read_body
from gateway.entries import Record
from gateway.errors import Forbidden, GatewayError, InternalError, Unauthenticated, Unavailable
from gateway.ids import exchange_id
from gateway.jsonstrict import Json, dumps, loads
from gateway.logs import log_bug
from gateway.operators import Operator, OperatorRing, Role
from gateway.records import Records
from gateway.render import error_body

MAX_BODY: Final = 1024 * 1024
_MAX_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class AdminCall:
    """One request by an operator who has the role."""

    request: Request
    operator: Operator
    id: str
    route: str
    records: Records

    def record(self, type_: str, stage: str = "complete") -> Record:
        """The fields that every record of this call shares. Add to it, and append it with `records`."""
        return admin_record(type_, stage, self.id, self.operator, self.route)

    async def body(self, allowed: Mapping[str, None], *, limit: int = MAX_BODY) -> dict[str, Json]:
        """The JSON object that was sent, its keys checked. Raises GatewayError."""
        data = await read_body(self.request, limit)
        return fields.known_keys(loads(data, max_depth=_MAX_DEPTH), "", allowed)

    def json(self, value: Json, status: int = 200) -> Response:
        """An answer."""
        return Response(
            dumps(value), status, {"x-request-id": self.id, "cache-control": "no-store"}, "application/json"
        )


Handler = Callable[[AdminCall], Awaitable[Response]]


def admin_record(type_: str, stage: str, call_id: str, operator: Operator | None, route: str) -> Record:
    """What a record of an admin call says of it."""
    record: Record = {"type": type_, "stage": stage, "req": call_id, "http": {"route": route}}
    if operator is not None:
        roles: list[Json] = [*sorted(operator.roles)]
        record["actor"] = {"type": "operator", "sub": operator.name, "auth": "key", "roles": roles}
    return record


class Desk:
    """Makes routes that ask for an operator."""

    def __init__(self, operators: OperatorRing, records: Records) -> None:
        self._operators, self._records = operators, records

    def route(self, path: str, method: str, roles: tuple[Role, ...], handler: Handler) -> Route:
        """A route for operators with one of `roles`, of which there is at least one."""
        if not roles or not path.startswith("/admin/"):
            raise ValueError(f"route `{path}` lies under `/admin/` and names a role")

        async def endpoint(request: Request) -> Response:
            call_id, operator = exchange_id(), None
            try:
                operator = self._operators.operator(request.headers.get("authorization"))
                operator.require(*roles)
                return await handler(AdminCall(request, operator, call_id, path, self._records))
            except (Unauthenticated, Forbidden) as exc:
                return _answer(await self._record_failure(exc, call_id, operator, path), call_id)
            except GatewayError as exc:
                return _answer(exc, call_id)
            # The drain is over: what was begun and recorded is finished by the next start, and asked for again.
            except asyncio.CancelledError:
                return _answer(Unavailable("shutting_down", "the gateway is stopping"), call_id)
            # A bug must not become a traceback in an answer.
            except Exception as exc:  # noqa: BLE001
                log_bug(call_id, exc)
                return _answer(InternalError(), call_id)

        return Route(path, endpoint, methods=[method])

    async def _record_failure(
        self, exc: GatewayError, call_id: str, operator: Operator | None, path: str
    ) -> GatewayError:
        record = admin_record("auth.fail", "complete", call_id, operator, path)
        record |= {"err": {"code": exc.code, "where": "admin"}}
        try:
            if operator is None:
                await self._records.append_failed_login(record)
            else:
                await self._records.append(record)
        except GatewayError as unavailable:
            return unavailable
        return exc


def _answer(exc: GatewayError, call_id: str) -> Response:
    headers = {"x-request-id": call_id}
    if isinstance(exc, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if exc.status == 503:
        headers["retry-after"] = "1"
    return Response(error_body(exc, call_id), exc.status, headers, "application/json")
