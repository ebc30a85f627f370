"""One answer's text on its way out: kept where the policy says so, and digested for the record that ends it.

It is asked before each record of the answer, with what that record will let out. So text is on disk before the record
that names it, and both before the client has any of it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Protocol

from gateway.entries import Exchange, Record, digest_field
from gateway.errors import Unavailable
from gateway.exchange import Ended, Released, ReleasedCalls, ReleasedText, Usage
from gateway.jsonstrict import Json
from guards.verdict import Part


class Keeper(Protocol):
    """Keeps text. Returns once it cannot be lost, with the field that its record names it by; raises Unavailable."""

    async def keep(self, exchange: Exchange, level: str, value: Json) -> Record: ...

    async def subject(self, tenant: str, claim: str) -> str:
        """The token of the person whom a request names; empty for nobody, or where no persons are known."""


class NothingKept:
    """For a gateway without a content store. A policy that asks for one does not come into force there."""

    async def keep(self, exchange: Exchange, level: str, value: Json) -> Record:
        if exchange.policy.audit.keeps:
            raise Unavailable("audit_unavailable", "the policy keeps text and this gateway has no content store")
        return {}

    async def subject(self, tenant: str, claim: str) -> str:
        return ""


class Transcript:
    """Of one exchange."""

    def __init__(self, keeper: Keeper, exchange: Exchange, key: bytes) -> None:
        """`key` is the tenant's own, for digests."""
        self._keeper, self._exchange, self._key = keeper, exchange, key
        self._said = hmac.new(key, digestmod="sha256")

    async def request(self, parts: Iterable[Part]) -> Record:
        """Fields for the record of the request."""
        return await self._keeper.keep(self._exchange, "request", {"parts": parts_json(parts)})

    async def answer(
        self, released: Iterable[Released], withheld: Mapping[int, Iterable[Part]], *, closing: bool
    ) -> Record:
        """Fields for a record that lets `released` out and stops `withheld`, by choice."""
        rows = [row for one in released if (row := _row(one))]
        for row in rows:
            self._said.update(_spoken(row).encode("utf-8", "surrogatepass"))
        value: dict[str, Json] = {"released": list[Json](rows)} if rows else {}
        if withheld:
            value["withheld"] = [{"choice": choice, "parts": parts_json(parts)} for choice, parts in withheld.items()]
        record = await self._keeper.keep(self._exchange, "response", value) if value else {}
        if closing:
            record |= digest_field(self._key, out_hmac=self._said.digest()[:16].hex())
        return record


def parts_json(parts: Iterable[Part]) -> list[Json]:
    """Text and pictures as guards saw them, with their places."""
    return [_part_row(part) for part in parts]


def _part_row(part: Part) -> dict[str, Json]:
    row: dict[str, Json] = {"path": part.path, "scope": str(part.scope), "role": part.role, "text": part.text}
    return row | picture_field(part)


def picture_field(part: Part) -> dict[str, Json]:
    """The `data:` URL of a part that shows something, for people who are to see what guards saw."""
    return {"picture": part.picture} if part.picture else {}


def _row(one: Released) -> dict[str, Json] | None:
    """Text as it leaves."""
    match one:
        case ReleasedText():
            return {"choice": one.choice, "channel": str(one.channel), "text": one.text} if one.text else None
        case ReleasedCalls():
            calls: list[Json] = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in one.calls]
            return {"choice": one.choice, "tool_calls": calls}
        case Ended() | Usage():
            return None


def _spoken(row: Mapping[str, Json]) -> str:
    """What counts for the digest: the text alone, so that who has an answer can look for it."""
    if "text" in row:
        return str(row["text"])
    calls = row["tool_calls"]
    assert isinstance(calls, list)
    return "".join(f"{call['name']}{call['arguments']}" for call in calls if isinstance(call, dict))
