"""The audit log as the routes use it: every record counted, and its outage as an answer to the client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

from gateway.allowance import Allowance
from gateway.audit.errors import AuditUnavailable, Unconfirmed
from gateway.audit.log import AuditLog
from gateway.audit.record import Json as RecordJson
from gateway.audit.writer import Receipt
from gateway.entries import Record
from gateway.errors import Unavailable
from gateway.jsonstrict import Json
from gateway.metrics import Metrics
from gateway.unfinished import Unfinished

_AUTH_BURST: Final = 10.0
"""Failed log-ins recorded at once. After that only so many a second; the others are counted and reported with the next
record, so that a stranger cannot fill the disk."""
_REFUSED_BURST: Final = 10.0
_REFUSED_PER_S: Final = 1 / 60
"""The same of requests that are turned away while the disk has no room for another exchange: what is left of it is for
those that are open. What is left out is told by the next refusal that is recorded, or by the next admission."""
_SETTLE_S: Final = 1.0
_NO_ROOM: Final = "audit_no_space"
_ADMIT: Final = "request.admit"
_REFUSE: Final = "request.refuse"
_FINDINGS: Final = "request.findings"
"""Those of a request that is not decided yet; they may be long."""
_LOGIN: Final = "auth.fail"


def _without_floats(record: Record) -> Mapping[str, RecordJson]:
    """The record in the log's own type, which has no float. The log checks that at run time, and refuses."""
    return cast(Mapping[str, RecordJson], record)


class Book(Protocol):
    """Where the records of calls go. Raises Unavailable when one cannot be made durable: no record, no answer."""

    async def append(self, record: Record) -> Receipt:
        """The record's place in the log, once it is durable."""
        ...

    async def append_signed(self, record: Record) -> tuple[Receipt, str]:
        """The same, with what a client may keep as proof that the record is in the log."""
        ...

    async def append_failed_login(self, record: Record) -> None:
        """Record a failed log-in, unless this second has had enough of them."""
        ...

    @property
    def state(self) -> str:
        """`ok`, or the code of why an exchange that begins now could not be recorded."""
        ...


class Records:
    """The Book of the process that has the log."""

    def __init__(
        self,
        log: AuditLog,
        metrics: Metrics,
        failed_logins_per_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._metrics = log, metrics
        self._logins = Allowance(_AUTH_BURST, failed_logins_per_s, clock)
        self._refusals = Allowance(_REFUSED_BURST, _REFUSED_PER_S, clock)
        self._unfinished = Unfinished()
        """Exchanges that were admitted and have not ended: what ends them is always recorded."""

    async def append(self, record: Record) -> Receipt:
        kind, request = str(record.get("type")), str(record.get("req"))
        if kind in (_FINDINGS, _REFUSE) and request not in self._unfinished and not self._has_room(kind):
            raise Unavailable("audit_unavailable", "the audit log has no room for what does not begin")
        if self._unfinished.is_ended_here(request):
            raise Unavailable("audit_unavailable", "the audit log has the end of this exchange")
        return await self._told(kind, record)

    async def _told(self, kind: str, record: Record) -> Receipt:
        try:
            tells = kind in (_ADMIT, _REFUSE)
            receipt = await (self._telling(self._refusals, record) if tells else self._append(record))
        # An outage, or a record that the format refuses: the exchange has no end in the log.
        except Exception as exc:
            if isinstance(exc.__cause__, Unconfirmed):
                self._unfinished.unconfirmed(record, exc.__cause__.seq)
            else:
                self._unfinished.refused(record)
            raise
        except asyncio.CancelledError:
            self._unfinished.cut_off(record)
            raise
        self._unfinished.wrote(record, receipt.seq)
        return receipt

    async def settle(self) -> None:
        """Write the ends that the log did not take, as soon as it takes any."""
        if self._log.state not in ("ok", _NO_ROOM):
            return
        with contextlib.suppress(Unavailable):
            for orphan in self._unfinished.debts():
                await self._told(str(orphan["type"]), orphan)

    async def settle_always(self) -> None:
        """The same for ever. One task of the process."""
        while True:
            await self.settle()
            await asyncio.sleep(_SETTLE_S)

    def _has_room(self, kind: str) -> bool:
        """Whether a request that did not begin may have a record now."""
        if self._log.state != _NO_ROOM:
            return True
        if kind != _FINDINGS and self._refusals.take():
            return True
        self._metrics.refusals_suppressed.inc(kind != _FINDINGS)
        return False

    async def _append(self, record: Record) -> Receipt:
        try:
            receipt = await self._log.append(_without_floats(record))
        except AuditUnavailable as exc:
            raise Unavailable("audit_unavailable", "the audit log cannot record this exchange") from exc
        self._metrics.records.inc()
        self._count_guard_errors(record.get("decision"))
        return receipt

    async def _telling(self, allowance: Allowance, record: Record, *, always: bool = False) -> Receipt:
        """Append, with how many were left out before."""
        left_out = allowance.told()
        try:
            return await self._append(record | {"suppressed": left_out} if left_out or always else record)
        except Unavailable:
            allowance.left_out += left_out
            raise

    async def append_signed(self, record: Record) -> tuple[Receipt, str]:
        receipt = await self.append(record)
        return receipt, self._log.sign_receipt(receipt)

    def _count_guard_errors(self, decision: Json) -> None:
        errors = decision.get("errors") if isinstance(decision, dict) else None
        for error in errors if isinstance(errors, list) else ():
            if isinstance(error, dict):
                self._metrics.guard_errors.labels(error["detector"], error["kind"]).inc()

    async def append_failed_login(self, record: Record) -> None:
        if not self._logins.take():
            self._metrics.auth_suppressed.inc()
        elif self._has_room(_LOGIN):
            await self._telling(self._logins, record, always=True)

    @property
    def state(self) -> str:
        return self._log.state
