"""The audit log as the routes use it: every record counted, and its outage as an answer to the client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, Protocol, cast

from gateway.audit.errors import AuditUnavailable
from gateway.audit.log import AuditLog
from gateway.audit.record import Json as RecordJson
from gateway.audit.writer import Receipt
from gateway.entries import Record
from gateway.errors import Unavailable
from gateway.jsonstrict import Json
from gateway.metrics import Metrics

_AUTH_BURST: Final = 10.0
"""Failed log-ins recorded at once. After that only so many a second; the others are counted and reported with the next
record, so that a stranger cannot fill the disk."""


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

    def __init__(self, log: AuditLog, metrics: Metrics, failed_logins_per_s: float = 1.0) -> None:
        self._log, self._metrics, self._auth_rate = log, metrics, failed_logins_per_s
        self._allowance, self._refilled = _AUTH_BURST, time.monotonic()
        self._suppressed = 0

    async def append(self, record: Record) -> Receipt:
        try:
            receipt = await self._log.append(_without_floats(record))
        except AuditUnavailable as exc:
            raise Unavailable("audit_unavailable", "the audit log cannot record this exchange") from exc
        self._metrics.records.inc()
        self._count_guard_errors(record.get("decision"))
        return receipt

    async def append_signed(self, record: Record) -> tuple[Receipt, str]:
        receipt = await self.append(record)
        return receipt, self._log.sign_receipt(receipt)

    def _count_guard_errors(self, decision: Json) -> None:
        errors = decision.get("errors") if isinstance(decision, dict) else None
        for error in errors if isinstance(errors, list) else ():
            if isinstance(error, dict):
                self._metrics.guard_errors.labels(error["detector"], error["kind"]).inc()

    async def append_failed_login(self, record: Record) -> None:
        now = time.monotonic()
        self._allowance = min(_AUTH_BURST, self._allowance + (now - self._refilled) * self._auth_rate)
        self._refilled = now
        if self._allowance < 1:
            self._suppressed += 1
            self._metrics.auth_suppressed.inc()
            return
        self._allowance -= 1
        suppressed, self._suppressed = self._suppressed, 0
        try:
            await self.append(record | {"suppressed": suppressed})
        except Unavailable:
            self._suppressed += suppressed
            raise

    @property
    def state(self) -> str:
        return self._log.state
