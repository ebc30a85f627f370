"""Which text of an exchange is kept, as its policy says, and by which token its person is known.

`keep` gives the field `content` of a record and is awaited before that record: text first, then the record that names
it, then what the record permits. When the text cannot be kept the exchange is refused as if the log were away.
"""

from __future__ import annotations

import secrets

from gateway.content.errors import ContentUnavailable
from gateway.content.keys import Place
from gateway.content.store import ContentStore, Item
from gateway.entries import Exchange, Record
from gateway.errors import Unavailable
from gateway.jsonstrict import Json


class SealedKeeper:
    """Keeps text in a content store."""

    def __init__(self, store: ContentStore, origin: str) -> None:
        self._store, self._origin = store, origin

    async def keep(self, exchange: Exchange, level: str, value: Json) -> Record:
        """The field `content` for a record of the exchange; nothing where its policy keeps no text."""
        keeping = exchange.policy.audit
        if not keeping.keeps:
            return {}
        place = Place(
            secrets.token_hex(16), exchange.id, exchange.caller.tenant, keeping.retention, level, self._origin
        )
        try:
            sealed = await self._store.keep(Item(place, exchange.subject or exchange.id, value))
        except ContentUnavailable as exc:
            raise _unavailable() from exc
        rows: list[Json] = [sealed.as_json()]
        return {"content": rows}

    async def subject(self, tenant: str, claim: str) -> str:
        """The token of the person whom a request names; empty when it names none."""
        if not claim:
            return ""
        try:
            token = await self._store.do(lambda keys: keys.token(tenant, claim, may_create=True))
        except ContentUnavailable as exc:
            raise _unavailable() from exc
        if token is None:
            raise _unavailable()
        return token


def _unavailable() -> Unavailable:
    return Unavailable("audit_unavailable", "the content store cannot keep this exchange")
