"""The policy in force: which it is, another one, the same file again, or an earlier one.

Who asked is in the record of the loading, or of the refusal. A bundle is believed for its approvers' signatures, not
for the operator who brings it.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway import fields
from gateway.admin.desk import AdminCall, Desk, Handler
from gateway.bundles.bundle import MAX_BYTES
from gateway.entries import policy_identity
from gateway.errors import BadRequest
from gateway.jsonstrict import Json
from gateway.operators import Role
from gateway.policy_in_force import PolicyInForce
from gateway.policy_source import Found

_MAX_BODY: Final = MAX_BYTES * 4 // 3 + 1024
_READERS: Final = (Role.AUDITOR, Role.POLICY_AUTHOR, Role.POLICY_APPROVER, Role.OPERATOR)
_CHANGERS: Final = (Role.POLICY_APPROVER, Role.OPERATOR)


def policy_routes(desk: Desk, policy: PolicyInForce) -> list[Route]:
    """Reading is for everybody who works with policies, changing for approvers and operators."""
    return [
        desk.route("/admin/policy", "GET", _READERS, _show(policy)),
        desk.route("/admin/policy/reload", "POST", _CHANGERS, _reload(policy)),
        desk.route("/admin/policy/activate", "POST", _CHANGERS, _activate(policy)),
        desk.route("/admin/policy/rollback", "POST", _CHANGERS, _roll_back(policy)),
    ]


def _show(policy: PolicyInForce) -> Handler:
    async def show(call: AdminCall) -> Response:
        said = _said(policy.found) | {"history": list[Json](policy.history())}
        await call.records.append(call.record("audit.read") | {"query": {"policy": True}})
        return call.json(said)

    return show


def _reload(policy: PolicyInForce) -> Handler:
    async def reload(call: AdminCall) -> Response:
        await call.body({})
        return call.json(_said(await policy.reload_told(_who(call))))

    return reload


def _activate(policy: PolicyInForce) -> Handler:
    async def activate(call: AdminCall) -> Response:
        body = await call.body({"bundle": None}, limit=_MAX_BODY)
        try:
            data = b64decode(fields.text(body.get("bundle"), "bundle"), validate=True)
        except ValueError:
            raise BadRequest("invalid_value", "`bundle` is not base64", "bundle") from None
        return call.json(_said(await policy.activate(data, _who(call))))

    return activate


def _roll_back(policy: PolicyInForce) -> Handler:
    async def roll_back(call: AdminCall) -> Response:
        body = await call.body({"to": None})
        digest = fields.text(body["to"], "to") if "to" in body else None
        return call.json(_said(await policy.roll_back(digest, _who(call))))

    return roll_back


def _who(call: AdminCall) -> dict[str, Json]:
    """What the record of a loading says of who asked for it."""
    own = call.record("policy.load")
    return {key: own[key] for key in ("req", "actor") if key in own}


def _said(found: Found) -> dict[str, Json]:
    return {"policy": policy_identity(found.policy), **found.record_fields()}
