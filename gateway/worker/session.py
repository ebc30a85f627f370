"""What the lead does for one worker, from its first word until the last trace of it is dealt with.

A worker writes records only of exchanges that it entered over this line, or that never began. When it is gone, the lead
finishes for it: its reviews are closed as abandoned, its places are free again, and each exchange that was admitted and
has no end gets one, as a start would give it. Nothing of this waits for a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol, cast

import structlog

from gateway.admission import Admission
from gateway.audit.errors import Unconfirmed
from gateway.audit.exchanges import TERMINALS, track
from gateway.audit.record import Json as RecordJson
from gateway.audit.writer import Receipt
from gateway.content.keeper import SealedKeeper
from gateway.entries import Record
from gateway.errors import GatewayError, Unavailable
from gateway.exchange import Caller
from gateway.jsonstrict import Json
from gateway.policy_bindings import Bound
from gateway.policy_in_force import PolicyInForce
from gateway.records import Records
from gateway.reviews import Matter, ReviewDesk
from gateway.transcript import Keeper
from gateway.trial import Outcome
from gateway.worker.line import Answer, Line
from gateway.worker.matter import matter_of, text_of
from gateway.worker.shelf import key_of
from gateway.worker.wire import Body, Kind

_NEVER_BEGAN: Final = frozenset({"request.refuse", "auth.fail"})
"""Records of requests that came to nothing; they need no place."""
_AGAIN_S: Final = 1.0
_COUNTING_S: Final = 1.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Office:
    """What the lead has and workers have not."""

    records: Records
    admission: Admission
    policy: PolicyInForce
    bound: Bound
    keeper: Keeper
    reviews: ReviewDesk


class Hall(Protocol):
    """The lead, as its sessions see it."""

    def arrived(self, session: Session, number: int, release: str) -> Body: ...

    async def joined(self, session: Session) -> None: ...

    def left(self, session: Session) -> None: ...

    def rested(self) -> None:
        """A worker has no exchange under way."""
        ...

    async def exposition(self) -> bytes: ...


class Session:
    """A Side of a Line, and the Log of the reviews that it asks for."""

    def __init__(self, office: Office, hall: Hall) -> None:
        self._office, self._hall = office, hall
        self.number = 0
        self.is_ready = False
        """As the worker last said."""
        self.connections = 0
        """The same."""
        self.last_counts: Body = {}
        self.line: Line | None = None
        self._worker: Json = {}
        self._entered: dict[str, str] = {}
        """Exchange -> key of those that it lets in."""
        self._open: dict[str, dict[str, RecordJson]] = {}
        """Exchanges without an end -> the record that would end them."""
        self._reviews: dict[str, asyncio.Task[Body]] = {}
        self._loaded: set[str] = set()
        self._tells: dict[Kind, Callable[[Body], None]] = {
            Kind.LEAVE: self._leave,
            Kind.CANCEL: self._cancel,
            Kind.NOTE: self._note,
            Kind.WELL: self._well,
            Kind.PARTING: self._part,
        }

    @property
    def is_open(self) -> bool:
        return self.line is not None and self.line.is_open

    @property
    def process(self) -> int:
        return self.line.peer if self.line is not None else 0

    @property
    def is_idle(self) -> bool:
        """Whether no exchange of it is under way."""
        return not self._entered and not self._open

    def began(self, line: Line) -> None:
        self.line = line

    def called(self, kind: Kind, body: Body) -> Answer:
        if not self.number and kind is not Kind.HELLO:
            raise ValueError(f"{kind.name} comes before HELLO")
        match kind:
            case Kind.APPEND:
                return self._append(self._of_it(_record(body)))
            case Kind.SIGNED:
                return self._append_signed(self._of_it(_record(body)))
            case Kind.ENTER:
                return self._enter(body)
            case Kind.KEEP:
                return self._keep(body)
            case Kind.LOGIN:
                return self._failed_login(_record(body))
            case Kind.SUBJECT:
                return self._subject(body)
            case Kind.REVIEW:
                return self._review(body)
            case Kind.HELLO:
                return self._hello(body)
            case Kind.JOIN:
                return self._join()
            case Kind.EXPOSE:
                return self._expose()
            case _:
                raise ValueError(f"{kind.name} is no call of a worker")

    def told(self, kind: Kind, body: Body) -> None:
        self._tells[kind](body)

    async def load(self, key: str, body: Body) -> None:
        """Have the worker build a policy. Raises GatewayError."""
        assert self.line is not None
        if self.line.is_silent:
            log.error("worker_cut_off", worker=self.number, why="it says nothing")
            self.cut_off()
        await self.line.call(Kind.POLICY, body, dict)
        needed = body["needed"]
        assert isinstance(needed, list)
        self._loaded = {key, *self._loaded.intersection(map(str, needed))}

    async def counts(self) -> Body:
        """What the worker has counted; what it said last, where it does not answer in time."""
        assert self.line is not None
        with suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(_COUNTING_S):
                self.last_counts = await self.line.call(Kind.COUNTS, {}, dict)
        return self.last_counts

    def cut_off(self) -> None:
        if self.line is not None:
            self.line.cut()

    def ended(self) -> None:
        self._hall.left(self)

    async def finish(self) -> None:
        """Deal with what a worker that is gone has left. Returns when nothing is."""
        for task in self._reviews.values():
            task.cancel()
        for key_id in self._entered.values():
            self._office.admission.leave(key_id)
        if self.line is not None:
            await self.line.settled()
        self._entered.clear()
        if self._open:
            log.warning("worker_lost", worker=self.number, open=len(self._open))
        for orphan in [*self._open.values()]:
            await self._ended_for(cast(Record, orphan))

    async def _ended_for(self, orphan: Record) -> None:
        while True:
            try:
                await self._office.records.append(orphan | {"worker": self._worker})
            except GatewayError as exc:
                if isinstance(exc.__cause__, Unconfirmed):
                    return  # it is in the log, where a second one would be another end
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def append(self, record: Record) -> Receipt:
        """Of a review of its exchanges."""
        return await self._office.records.append(self._of_it(record))

    def _of_it(self, record: Record) -> Record:
        """With the worker's name, if it may be written. Checked in the order in which messages come."""
        if record.get("type") not in _NEVER_BEGAN and record.get("req") not in self._entered:
            raise Unavailable("audit_unavailable", "the exchange did not begin here")
        return record | {"worker": self._worker}

    async def _append(self, record: Record) -> Body:
        with self._ends_taken_over(record):
            receipt = await self._office.records.append(record)
        return self._tracked(record, receipt)

    async def _append_signed(self, record: Record) -> Body:
        with self._ends_taken_over(record):
            receipt, proof = await self._office.records.append_signed(record)
        return self._tracked(record, receipt) | {"receipt": proof}

    @contextmanager
    def _ends_taken_over(self, record: Record) -> Iterator[None]:
        """An end that the log did not take is owed by the records, not by the worker's own end any more."""
        try:
            yield
        # An outage, or a record that the format refuses.
        except Exception:
            if record.get("type") in TERMINALS:
                self._open.pop(str(record.get("req")), None)
            raise

    def _tracked(self, record: Record, receipt: Receipt) -> Body:
        track(self._open, cast(Mapping[str, RecordJson], record), receipt.seq)
        self._look_idle()
        return {"seq": receipt.seq, "leaf": receipt.leaf.hex()}

    async def _failed_login(self, record: Record) -> Body:
        await self._office.records.append_failed_login(record | {"worker": self._worker})
        return {}

    def _enter(self, body: Body) -> Body:
        exchange, key_id = str(body["id"]), str(body["key"])
        self._office.admission.enter(key_id)
        self._entered[exchange] = key_id
        said = self._decided_by(Caller(key_id, str(body["tenant"]), str(body["app"])), exchange)
        if not self._loaded.issuperset(str(said[name]) for name in ("policy", "stable") if name in said):
            log.error("worker_cut_off", worker=self.number, why="it lacks a policy in force")
            self.cut_off()
        return said

    def _decided_by(self, caller: Caller, exchange: str) -> Body:
        """Which policy decides it. From here on it is decided by no other."""
        bound = self._office.bound.holder(caller)
        policy, said = (self._office.policy, Body()) if bound is None else (bound, {"bound": True})
        trial = policy.drawn(caller, exchange)
        if trial is None:
            return said | {"policy": key_of(policy.current().policy)}
        return said | {"policy": key_of(trial.candidate.policy), "trial": trial.id, "stable": key_of(trial.stable)}

    def _leave(self, body: Body) -> None:
        key_id = self._entered.pop(str(body["id"]), None)
        if key_id is not None:
            self._office.admission.leave(key_id)
        self._look_idle()

    def _look_idle(self) -> None:
        if self.is_idle:
            self._hall.rested()

    def _note(self, body: Body) -> None:
        trials, was = (self._office.policy.trial, *self._office.bound.trials()), body["was"]
        trial = next((one for one in trials if one is not None and one.id == body["trial"]), None)
        if trial is None:
            return
        now, kind = Outcome(_number(body["now"])), (str(body["from"]), str(body["to"]))
        trial.note(None if was is None else Outcome(_number(was)), now, kind, bool(body["error"]))

    async def _keep(self, body: Body) -> Body:
        keeper, text = self._office.keeper, text_of(body)
        if text.exchange not in self._entered or not isinstance(keeper, SealedKeeper):
            raise Unavailable("audit_unavailable", "the content store cannot keep this exchange")
        return {"record": await keeper.seal(text)}

    async def _subject(self, body: Body) -> Body:
        return {"subject": await self._office.keeper.subject(str(body["tenant"]), str(body["claim"]))}

    async def _review(self, body: Body) -> Body:
        token, matter = str(body["token"]), matter_of(body)
        task = asyncio.ensure_future(self._held(matter))
        self._reviews[token] = task
        try:
            await asyncio.wait((task,))
        finally:
            del self._reviews[token]
        if task.cancelled():
            raise Unavailable("audit_unavailable", "the review was abandoned")
        return task.result()

    async def _held(self, matter: Matter) -> Body:
        return {"state": str(await self._office.reviews.hold(self, matter))}

    def _cancel(self, body: Body) -> None:
        task = self._reviews.get(str(body["token"]))
        if task is not None:
            task.cancel()

    def _well(self, body: Body) -> None:
        self.is_ready, self.connections = body["ready"] is True, _number(body["connections"])

    def _part(self, body: Body) -> None:
        self.last_counts = body

    def _hello(self, body: Body) -> Body:
        number = _number(body["number"])
        said = self._hall.arrived(self, number, str(body["version"]))
        self.number, self._worker = number, {"number": number, "pid": self.process}
        return said

    async def _join(self) -> Body:
        await self._hall.joined(self)
        return {}

    async def _expose(self) -> Body:
        return {"text": (await self._hall.exposition()).decode()}


def _record(body: Body) -> Record:
    record = body["record"]
    if not isinstance(record, dict):
        raise TypeError("a record that is no object")
    return record


def _number(value: Json) -> int:
    if not isinstance(value, int):
        raise TypeError("a number that is none")
    return value
