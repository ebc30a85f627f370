"""Which text of an exchange is kept, as its policy says, and by which token its person is known.

`keep` gives the field `content` of a record and is awaited before that record: text first, then the record that names
it, then what the record permits. When the text cannot be kept the exchange is refused as if the log were away. While
the log admits no exchange nothing of a new one is kept: clients that ask again and again would fill the room that open
exchanges are promised.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Protocol

from gateway.content.errors import ContentUnavailable
from gateway.content.keys import Place
from gateway.content.store import ContentStore, Item
from gateway.entries import Exchange, Record
from gateway.errors import Unavailable
from gateway.jsonstrict import Json


class Log(Protocol):
    """What is asked of the log."""

    @property
    def state(self) -> str:
        """`ok`, or why an exchange that begins now could not be recorded."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """What is kept of an exchange, in which class, and under whose token."""

    exchange: str
    tenant: str
    subject: str
    retention: str
    level: str
    value: Json = field(repr=False)

    @classmethod
    def of(cls, exchange: Exchange, level: str, value: Json) -> Text:
        retention = exchange.policy.audit.retention
        return cls(exchange.id, exchange.caller.tenant, exchange.subject, retention, level, value)


class SealedKeeper:
    """Keeps text in a content store."""

    def __init__(self, store: ContentStore, origin: str, log: Log) -> None:
        self._store, self._origin, self._log = store, origin, log

    async def keep(self, exchange: Exchange, level: str, value: Json) -> Record:
        """The field `content` for a record of the exchange; nothing where its policy keeps no text."""
        if not exchange.policy.audit.keeps:
            return {}
        return await self.seal(Text.of(exchange, level, value))

    async def seal(self, text: Text) -> Record:
        """The same for text whose policy has it kept."""
        if text.level == "request":
            self._check_log()
        place = Place(secrets.token_hex(16), text.exchange, text.tenant, text.retention, text.level, self._origin)
        try:
            sealed = await self._store.keep(Item(place, text.subject or text.exchange, text.value))
        except ContentUnavailable as exc:
            raise _unavailable() from exc
        rows: list[Json] = [sealed.as_json()]
        return {"content": rows}

    async def subject(self, tenant: str, claim: str) -> str:
        """The token of the person whom a request names; empty when it names none."""
        if not claim:
            return ""
        self._check_log()
        try:
            token = await self._store.do(lambda keys: keys.token(tenant, claim, may_create=True))
        except ContentUnavailable as exc:
            raise _unavailable() from exc
        if token is None:
            raise _unavailable()
        return token

    def _check_log(self) -> None:
        if self._log.state != "ok":
            raise Unavailable("audit_unavailable", "the audit log cannot record this exchange")


def _unavailable() -> Unavailable:
    return Unavailable("audit_unavailable", "the content store cannot keep this exchange")
