"""Exchanges that wait for people: what waits, what one of them says, and a vote on it.

That somebody read the text of one is a record before they get it, as a vote is before it counts. The list has no text.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.desk import AdminCall, Desk, Handler
from gateway.fields import one_of
from gateway.jsonstrict import Json
from gateway.operators import Role
from gateway.reviews import ReviewDesk

REVIEWERS: Final = (Role.OPERATOR, Role.REVIEWER)


def review_routes(desk: Desk, reviews: ReviewDesk) -> list[Route]:
    """For operators and reviewers."""
    return [
        desk.route("/admin/reviews", "GET", REVIEWERS, _list(reviews)),
        desk.route("/admin/reviews/{id}", "GET", REVIEWERS, _show(reviews)),
        desk.route("/admin/reviews/{id}/vote", "POST", REVIEWERS, _vote(reviews)),
    ]


def _list(reviews: ReviewDesk) -> Handler:
    async def run(call: AdminCall) -> Response:
        is_operator = Role.OPERATOR in call.operator.roles
        return call.json({"reviews": list[Json](reviews.rows(None if is_operator else call.operator.name))})

    return run


def _show(reviews: ReviewDesk) -> Handler:
    async def run(call: AdminCall) -> Response:
        held = reviews.readable(str(call.request.path_params["id"]), call.operator.name)
        await call.records.append(call.record("review.read") | {"review": {"id": held.id}})
        return call.json(held.shown())

    return run


def _vote(reviews: ReviewDesk) -> Handler:
    async def run(call: AdminCall) -> Response:
        said = one_of("approve", "deny")((await call.body({"vote": None})).get("vote"), "vote")
        review_id = str(call.request.path_params["id"])
        record = call.record("review.vote")
        approve = said == "approve"
        return call.json(await reviews.vote(call.records, record, review_id, call.operator.name, approve=approve))

    return run
