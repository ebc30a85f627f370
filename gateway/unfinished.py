"""Exchanges that were admitted and whose end the log did not take.

While the disk is bad an exchange that was under way is cut off, and the record that says so cannot be written either.
A restart would find it and end it; a process that lives on has to do that itself, or the log shows an exchange that
goes on for weeks. Who ends one here ends it alone: what its own call still hands in afterwards is refused, since an
exchange has one end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from gateway.audit.exchanges import TERMINALS, track
from gateway.audit.record import Json as RecordJson
from gateway.entries import Record

_REMEMBERED: Final = 4096
"""Ends that were written here and whose calls may not know yet. All that are open at once, and more."""


class Unfinished:
    """Of one log. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, RecordJson]] = {}
        """Exchange -> the record that would end it."""
        self._owed: dict[str, Record] = {}
        """Those whose end was refused -> what is known of it."""
        self._ended_here: dict[str, None] = {}

    def __contains__(self, request: object) -> bool:
        return request in self._open

    def is_ended_here(self, request: object) -> bool:
        """Whether the end that it has, or is about to have, is not its call's own."""
        return request in self._ended_here

    def wrote(self, record: Record, seq: int) -> None:
        """It is durable."""
        track(self._open, cast(Mapping[str, RecordJson], record), seq)
        if _ends(record):
            self._owed.pop(str(record.get("req")), None)

    def refused(self, record: Record) -> None:
        """It could not be written. Whoever writes an orphan tries again himself."""
        if _ends(record) and record["type"] != "response.orphan" and str(record.get("req")) in self._open:
            self._owe(record)

    def unconfirmed(self, record: Record, seq: int) -> None:
        """It is in the local log, and its caller was told that nothing may come of it: an admission is its last."""
        self.wrote(record, seq)
        if record.get("type") == "request.admit":
            self._owe(record)
        elif _ends(record):
            self._ends_here(str(record.get("req")))

    def cut_off(self, record: Record) -> None:
        """Who handed it in does not wait for it any more; it is written all the same."""
        if _ends(record):
            self._open.pop(str(record.get("req")), None)
            self._owed.pop(str(record.get("req")), None)

    def _ends_here(self, request: str) -> None:
        self._ended_here[request] = None
        if len(self._ended_here) > _REMEMBERED:
            del self._ended_here[next(iter(self._ended_here))]

    def _owe(self, record: Record) -> None:
        self._owed[str(record.get("req"))] = {"worker": record["worker"]} if "worker" in record else {}

    def debts(self) -> Iterator[Record]:
        """The ends that are owed, one by one; from then on each is ended here and by nobody else."""
        for request in [*self._owed]:
            if request not in self._owed:
                continue  # its call could say it after all
            self._ends_here(request)
            orphan = cast(Record, self._open[request])
            stream = orphan.get("stream")
            told = stream if isinstance(stream, dict) else {}
            yield orphan | self._owed[request] | {"stream": {**told, "ended_by": "audit_unavailable"}}


def _ends(record: Record) -> bool:
    return record.get("type") in TERMINALS
