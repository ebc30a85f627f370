"""What a worker lacks and asks its lead for: a place for an exchange, the log, kept text, people who decide.

Each is one of the Protocols that the routes and the pipeline know, so they do not know which process they are in.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import cast

from gateway.audit.writer import Receipt
from gateway.content.keeper import Text
from gateway.entries import Exchange, Record, Recorder
from gateway.exchange import Caller
from gateway.jsonstrict import Json
from gateway.records import Book
from gateway.reviews import Matter, concluded
from gateway.steps import InForce
from gateway.trial import Outcome, watched
from gateway.worker.line import Line
from gateway.worker.link import Link
from gateway.worker.matter import matter_body, text_body
from gateway.worker.policies import Policies
from gateway.worker.wire import Body, Kind
from guards.verdict import Part
from policies.ballots import State
from policies.model import Decision


class RemoteBook:
    """The log, over one line or over whichever there is."""

    def __init__(self, line: Callable[[], Line], link: Link) -> None:
        self._line, self._link = line, link

    async def append(self, record: Record) -> Receipt:
        return await self._line().call(Kind.APPEND, {"record": record}, _receipt)

    async def append_signed(self, record: Record) -> tuple[Receipt, str]:
        return await self._line().call(Kind.SIGNED, {"record": record}, _signed)

    async def append_failed_login(self, record: Record) -> None:
        await self._line().call(Kind.LOGIN, {"record": record}, dict)

    @property
    def state(self) -> str:
        return str(self._link.checks.get("audit", "audit_unavailable")) if self._link.is_up else "audit_unavailable"


class RemoteDoor:
    """Asks the lead to let an exchange in; the answer says which policy decides it."""

    def __init__(self, link: Link, policies: Policies) -> None:
        self._link, self._policies = link, policies

    async def enter(self, caller: Caller, exchange_id: str) -> _Visit:
        line = self._link.line()
        asked: Body = {"id": exchange_id, "key": caller.key_id, "tenant": caller.tenant, "app": caller.app}
        book = RemoteBook(lambda: line, self._link)
        try:
            # The policy is looked up as the answer is read: a later message may say that it is needed no more.
            in_force = await line.call(Kind.ENTER, asked, lambda body: self._in_force(line, body))
        except asyncio.CancelledError:
            line.tell(Kind.LEAVE, {"id": exchange_id})
            raise
        return _Visit(line, exchange_id, book, in_force)

    def _in_force(self, line: Line, body: Body) -> InForce:
        pair = self._policies.pair(str(body["policy"]))
        if "trial" not in body:
            if "bound" not in body:
                self._policies.everybodys = str(body["policy"])
            return pair
        comparison = self._policies.comparison(str(body["policy"]), str(body["stable"]))
        trial = body["trial"]

        def note(was: Outcome | None, now: Outcome, kind: tuple[str, str], is_error: bool) -> None:
            said: Body = {"trial": trial, "was": None if was is None else int(was), "now": int(now)}
            line.tell(Kind.NOTE, said | {"from": kind[0], "to": kind[1], "error": is_error})

        return watched(pair, comparison, note)


class _Visit:
    __slots__ = ("_id", "_in_force", "_line", "records")

    def __init__(self, line: Line, exchange_id: str, book: Book, in_force: InForce) -> None:
        self._line, self._id, self.records, self._in_force = line, exchange_id, book, in_force

    def in_force(self) -> InForce:
        return self._in_force

    def leave(self) -> None:
        self._line.tell(Kind.LEAVE, {"id": self._id})


class RemoteKeeper:
    """Where the gateway has a content store."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def keep(self, exchange: Exchange, level: str, value: Json) -> Record:
        if not exchange.policy.audit.keeps:
            return {}
        asked = text_body(Text.of(exchange, level, value))
        return await self._link.current().call(Kind.KEEP, asked, lambda body: cast(Record, body["record"]))

    async def subject(self, tenant: str, claim: str) -> str:
        if not claim:
            return ""
        asked: Body = {"tenant": tenant, "claim": claim}
        return await self._link.current().call(Kind.SUBJECT, asked, lambda body: str(body["subject"]))


class RemoteReviewers:
    """People vote at the lead."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def reviewed(
        self, log: Recorder, exchange: Exchange, decision: Decision, parts: Sequence[Part], person: str
    ) -> Decision:
        line, token = self._link.current(), secrets.token_hex(8)
        asked = {"token": token, **matter_body(Matter.of(exchange, decision, parts, person))}
        work = asyncio.ensure_future(line.call(Kind.REVIEW, asked, lambda body: State(str(body["state"]))))
        try:
            return concluded(decision, await asyncio.shield(work))
        except asyncio.CancelledError:
            line.tell(Kind.CANCEL, {"token": token})
            await asyncio.wait((work,))
            work.cancelled() or work.exception()
            raise


def _receipt(body: Body) -> Receipt:
    return Receipt(int(str(body["seq"])), bytes.fromhex(str(body["leaf"])))


def _signed(body: Body) -> tuple[Receipt, str]:
    return _receipt(body), str(body["receipt"])
