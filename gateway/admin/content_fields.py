"""What operators write about sealed content, checked: names, a reason, a case. Messages repeat none of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway import fields
from gateway.jsonstrict import Json

LONGEST_REASON: Final = 500


def name(value: Json, where: str) -> str:
    """A reference, a request's id, a token, a class, a tenant: no spaces, no markup."""
    return str(fields.identifier(value, where))


def case(body: Mapping[str, Json]) -> str:
    """The case it is for, which is asked for."""
    return name(body.get("case"), "case")


def reason(body: Mapping[str, Json]) -> str:
    """One line; it stands in the log for ever."""
    value = body.get("reason")
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_REASON or not value.isprintable():
        fields.wrong("reason", f"one line of 1 to {LONGEST_REASON} characters")
    return value
