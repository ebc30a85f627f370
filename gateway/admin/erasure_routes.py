"""Erasing, holding, pruning: what takes text away, or keeps others from doing so. A privacy officer's, and all
recorded.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.content_fields import case, name, reason
from gateway.admin.desk import AdminCall, Desk, Handler
from gateway.content.erasing import unavailable_instead
from gateway.content.errors import ApprovalSpent, HoldsForbid
from gateway.content.holds import Hold, Kind
from gateway.content.keystore import Row
from gateway.content.office import Office
from gateway.errors import BadRequest, Conflict, Forbidden, NotFound
from gateway.jsonstrict import Json
from gateway.operators import Role

PRIVACY: Final = (Role.PRIVACY_OFFICER,)
_CONSENT: Final = {"statement": None, "approvals": None}
"""`statement: true`: only the text that approvers have to sign. `approvals`: their notes."""
PRUNERS: Final = (Role.PRIVACY_OFFICER, Role.OPERATOR)


def erasure_routes(desk: Desk, office: Office) -> list[Route]:
    """The table."""
    return [
        desk.route("/admin/content/erase", "POST", PRIVACY, _erase(office)),
        desk.route("/admin/content/prune", "POST", PRUNERS, _prune(office)),
        desk.route("/admin/content/holds", "GET", PRIVACY, _holds(office)),
        desk.route("/admin/content/holds", "POST", PRIVACY, _set(office)),
        desk.route("/admin/content/holds/release", "POST", PRIVACY, _release(office)),
    ]


def _erase(office: Office) -> Handler:
    async def erase(call: AdminCall) -> Response:
        body = await call.body({"subject": None, "request": None, "reason": None, **_CONSENT})
        kind, value = _target(body, Kind.SUBJECT, Kind.REQUEST)
        said = call.record("content.erase") | {"reason": reason(body)}
        rows: list[Row] = []
        if kind is Kind.SUBJECT:
            deed = office.consent.erase_person(value, reason(body))
        else:
            rows = await unavailable_instead(office.store.do(lambda keys: keys.rows(value)))
            if not rows:
                await call.records.append(said | {"err": {"code": "content_not_found", "where": "content"}})
                raise NotFound("content_not_found", "nothing is kept under this name, or all of it was erased")
            deed = office.consent.erase_request(value, [row.place.ref for row in rows], reason(body))
        if "statement" in body:
            return call.json({"statement": office.consent.statement(deed)})
        agreed = office.consent.given(deed, body.get("approvals"))
        said |= agreed.fields
        try:
            if kind is Kind.SUBJECT:
                return call.json({"erased": await office.eraser.erase_person(said, value, agreed.number)})
            refs, requests = [row.place.ref for row in rows], {row.place.req for row in rows}
            return call.json({"erased": await office.eraser.erase(said, refs, requests, agreed.number)})
        except HoldsForbid as exc:
            raise Conflict("legal_hold", f"under legal hold {', '.join(exc.holds[:5])}: nothing was erased") from exc
        except ApprovalSpent as exc:
            raise Forbidden("approval_spent", str(exc)) from exc

    return erase


def _prune(office: Office) -> Handler:
    async def prune(call: AdminCall) -> Response:
        await call.body({})
        actor = call.record("retention.prune")["actor"]
        assert isinstance(actor, dict)
        try:
            return call.json({"erased": await office.eraser.prune(actor)})
        except HoldsForbid as exc:
            raise Conflict("legal_hold", "a legal hold was set meanwhile: ask again") from exc

    return prune


def _holds(office: Office) -> Handler:
    async def holds(call: AdminCall) -> Response:
        found = await office.holding.all()
        await call.records.append(call.record("audit.read") | {"query": {"holds": "all"}, "found": len(found)})
        rows: list[Json] = [{**hold.as_json(), "reason": hold.said.get("reason", "")} for hold in found]
        return call.json({"holds": rows})

    return holds


def _set(office: Office) -> Handler:
    async def set_(call: AdminCall) -> Response:
        body = await call.body({"subject": None, "request": None, "class": None, "reason": None, "case": None})
        kind, value = _target(body, *Kind)
        said = call.record("hold.set") | {"reason": reason(body)}
        stands = await office.holding.set(Hold(kind, value, case(body), said))
        return call.json({"hold": stands.as_json()})

    return set_


def _release(office: Office) -> Handler:
    async def release(call: AdminCall) -> Response:
        body = await call.body({"id": None, "reason": None, **_CONSENT})
        hold_id, why = name(body.get("id"), "id"), reason(body)
        hold = next((hold for hold in await office.holding.all() if hold.id == hold_id), None)
        if hold is None:
            raise NotFound("hold_not_found", "there is no legal hold with this id")
        deed = office.consent.release(hold, why)
        if "statement" in body:
            return call.json({"statement": office.consent.statement(deed)})
        agreed = office.consent.given(deed, body.get("approvals"))
        said = call.record("hold.release") | {"reason": why} | agreed.fields
        try:
            released = await office.holding.release(hold_id, said, agreed.number)
        except ApprovalSpent as exc:
            raise Forbidden("approval_spent", str(exc)) from exc
        if released is None:
            raise NotFound("hold_not_found", "there is no legal hold with this id")
        return call.json({"hold": released.as_json()})

    return release


def _target(body: dict[str, Json], *kinds: Kind) -> tuple[Kind, str]:
    named = [kind for kind in kinds if kind in body]
    if len(named) != 1:
        expected = ", ".join(f"`{kind}`" for kind in kinds)
        raise BadRequest("invalid_value", f"name exactly one of {expected}", "subject")
    return named[0], name(body[named[0]], named[0])
