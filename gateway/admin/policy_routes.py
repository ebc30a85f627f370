"""The policy in force: which it is, another one (for all, or on trial), the same file again, or an earlier one.

Who asked is in the record of the loading, or of the refusal. A bundle is believed for its approvers' signatures, not
for the operator who brings it.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway import fields
from gateway.admin.desk import AdminCall, Desk
from gateway.bundles.bundle import MAX_BYTES
from gateway.entries import policy_identity
from gateway.errors import BadRequest, Conflict, NotFound
from gateway.jsonstrict import Json
from gateway.operators import Role
from gateway.policy_bindings import Binding
from gateway.policy_in_force import PolicyInForce
from gateway.trial import LONGEST_S, By, Terms
from guards.verdict import PPM

_MAX_BODY: Final = MAX_BYTES * 4 // 3 + 1024
_TERMS: Final = dict.fromkeys(("share", "by", "hours", "max_flips", "max_errors"))
_READERS: Final = (Role.AUDITOR, Role.POLICY_AUTHOR, Role.POLICY_APPROVER, Role.OPERATOR)
_CHANGERS: Final = (Role.POLICY_APPROVER, Role.OPERATOR)


def policy_routes(
    desk: Desk, policy: PolicyInForce, bound: Sequence[tuple[Binding, PolicyInForce]] = ()
) -> list[Route]:
    """Reading is for everybody who works with policies, changing for approvers and operators."""
    shelf = _Policies(policy, bound)
    return [
        desk.route("/admin/policy", "GET", _READERS, shelf.show),
        desk.route("/admin/policy/reload", "POST", _CHANGERS, shelf.reload),
        desk.route("/admin/policy/activate", "POST", _CHANGERS, shelf.activate),
        desk.route("/admin/policy/rollback", "POST", _CHANGERS, shelf.roll_back),
    ]


class _Policies:
    """The policy for everybody, and those that are bound to some callers, by name."""

    def __init__(self, policy: PolicyInForce, bound: Sequence[tuple[Binding, PolicyInForce]]) -> None:
        self._everybodys, self._bound = policy, bound

    def _called(self, name: Json) -> PolicyInForce:
        """The one of this binding; of none: the one for everybody. Raises NotFound."""
        if name is None:
            return self._everybodys
        wanted = fields.text(name, "binding")
        for binding, policy in self._bound:
            if binding.name == wanted:
                return policy
        raise NotFound("unknown_binding", "no entry of `policies` has this name")

    async def show(self, call: AdminCall) -> Response:
        policy = self._called(call.request.query_params.get("binding"))
        said = _said(policy) | {"history": list[Json](policy.history())}
        if not policy.binding and self._bound:
            said["bindings"] = [_bound(binding, one) for binding, one in self._bound]
        asked: dict[str, Json] = {"policy": True} | ({"binding": policy.binding} if policy.binding else {})
        await call.records.append(call.record("audit.read") | {"query": asked})
        return call.json(said)

    async def reload(self, call: AdminCall) -> Response:
        body = await call.body({"binding": None})
        policy = self._called(body.get("binding"))
        await policy.reload_told(_who(call))
        return call.json(_said(policy))

    async def activate(self, call: AdminCall) -> Response:
        body = await call.body({"bundle": None, "trial": None, "binding": None}, limit=_MAX_BODY)
        policy = self._called(body.get("binding"))
        terms = _terms(body["trial"]) if "trial" in body else None
        try:
            data = b64decode(fields.text(body.get("bundle"), "bundle"), validate=True)
        except ValueError:
            raise BadRequest("invalid_value", "`bundle` is not base64", "bundle") from None
        if terms is None:
            await policy.activate(data, _who(call))
        else:
            await policy.try_out(data, terms, _who(call))
        return call.json(_said(policy))

    async def roll_back(self, call: AdminCall) -> Response:
        body = await call.body({"to": None, "trial": None, "binding": None})
        policy = self._called(body.get("binding"))
        digest = fields.text(body["to"], "to") if "to" in body else None
        only_trial = fields.boolean(body.get("trial", False), "trial")
        was_trial = digest is None and await policy.end_trial(_who(call))
        if only_trial and not was_trial:
            raise Conflict("no_trial", "there is no trial that could end")
        if not was_trial:
            await policy.roll_back(digest, _who(call))
        return call.json(_said(policy))


def _bound(binding: Binding, policy: PolicyInForce) -> Json:
    """One of several, in short."""
    whom: dict[str, Json] = {"tenants": list[Json](sorted(binding.tenants)), "apps": list[Json](sorted(binding.apps))}
    return {"name": binding.name, **whom, "policy": policy_identity(policy.found.policy)}


def _who(call: AdminCall) -> dict[str, Json]:
    """What the record of a loading says of who asked for it."""
    own = call.record("policy.load")
    return {key: own[key] for key in ("req", "actor") if key in own}


def _terms(value: Json) -> Terms:
    """What was asked for. Shares and bounds are parts of 1."""
    asked = fields.known_keys(value, "trial", _TERMS)

    def number(name: str, default: float, high: float) -> float:
        found = fields.number(0, high)(asked.get(name, default), f"trial.{name}")
        assert isinstance(found, int | float)
        return found

    by = str(fields.one_of(*By)(asked.get("by", By.TENANT), "trial.by"))
    share, flips, errors = (
        round(number(name, default, 1) * PPM)
        for name, default in (("share", 0.0), ("max_flips", 0.01), ("max_errors", 0.01))
    )
    try:
        return Terms(share, By(by), number("hours", 2, LONGEST_S / 3600) * 3600, flips, errors)
    except ValueError:
        raise BadRequest("invalid_value", "`trial` needs a `share` and `hours` above 0", "trial") from None


def _said(policy: PolicyInForce) -> dict[str, Json]:
    found, trial = policy.found, policy.trial
    said: dict[str, Json] = {"policy": policy_identity(found.policy), **found.record_fields()}
    said |= {"binding": policy.binding} if policy.binding else {}
    return said | ({"trial": trial.as_json()} if trial is not None else {})
