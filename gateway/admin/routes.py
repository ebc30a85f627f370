"""The table of all routes under `/admin`. What is not in it is 404, as on the API listener."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.desk import AdminCall, Desk
from gateway.operators import Role

EVERYBODY: Final = tuple(Role)


def admin_routes(desk: Desk) -> list[Route]:
    """Every route, each with the roles that may use it."""
    return [desk.route("/admin/whoami", "GET", EVERYBODY, _whoami)]


async def _whoami(call: AdminCall) -> Response:
    await call.records.append(call.record("auth.ok_admin"))
    return call.json({"name": call.operator.name, "roles": [*sorted(call.operator.roles)]})
