"""What people are to decide, and text that is to be kept, on their way to the lead."""

from __future__ import annotations

from typing import Any, Final, cast

from gateway.content.keeper import Text
from gateway.jsonstrict import Json
from gateway.reviews import Matter
from gateway.worker.wire import Body
from guards.verdict import Part, Scope
from policies.model import Review, Risk


def matter_body(matter: Matter) -> Body:
    """As the lead reads it."""
    reviews: list[Json] = [
        [rule, one.queue, one.quorum, one.hold, one.timeout_ms, one.distinct, _risk_row(one)]
        for rule, one in matter.reviews
    ]
    parts: list[Json] = [[str(part.scope), part.path, part.role, part.text, part.tool] for part in matter.parts]
    return {"record": matter.record, "reviews": reviews, "parts": parts, "requesters": [*matter.requesters]}


def matter_of(body: Body) -> Matter:
    """As the worker sent it. Raises TypeError, ValueError or KeyError."""
    record, requesters = body["record"], body["requesters"]
    if not isinstance(record, dict) or not isinstance(requesters, list):
        raise TypeError("a matter without a record")
    reviews = tuple(
        (str(rule), Review(queue, quorum, hold, ms, distinct, Risk(*risk) if risk else None))
        for rule, queue, quorum, hold, ms, distinct, risk in _rows(body["reviews"])
    )
    parts = tuple(
        Part(Scope(scope), path, role, text, tool=tool) for scope, path, role, text, tool in _rows(body["parts"])
    )
    return Matter(record, reviews, parts, tuple(str(name) for name in requesters))


def _rows(value: Json) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise TypeError("a matter without its rows")
    return cast(list[list[Any]], value)


def _risk_row(review: Review) -> Json:
    risk = review.risk
    return None if risk is None else [risk.by, risk.ticket, risk.until]


def text_body(text: Text) -> Body:
    """As the lead reads it."""
    return {name: getattr(text, name) for name in _FIELDS}


def text_of(body: Body) -> Text:
    """As the worker sent it. Raises KeyError."""
    exchange, tenant, subject, retention, level = (str(body[name]) for name in _FIELDS[:-1])
    return Text(exchange, tenant, subject, retention, level, body["value"])


_FIELDS: Final = ("exchange", "tenant", "subject", "retention", "level", "value")
