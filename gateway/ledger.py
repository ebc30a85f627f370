"""The records of one call, and the receipt of the one that ends it.

Everything of an exchange that goes into the log goes through its ledger, so that whoever answers the client, with an
answer or with an error, knows whether the log has heard of the exchange and what the client may keep as proof.
"""

from __future__ import annotations

from typing import Final

from gateway.audit.receipt import HEADER
from gateway.entries import Record
from gateway.records import Book

RECEIPT: Final = HEADER.lower()
"""The header's name, as ASGI wants it; in a stream, the beginning of the comment that holds the same."""


class Ledger:
    """Appends one call's records. Raises what Records raises."""

    def __init__(self, records: Book) -> None:
        self._records = records
        self.opened = False
        """Whether the log holds an admission or an end of this call. From then on whoever opened it writes the end."""
        self.receipt = ""
        """Value of the `Gatehouse-Receipt` header, once the call's last record is durable."""

    async def append(self, record: Record) -> int:
        """The number of the record, once it is durable."""
        if record.get("stage") == "complete":
            written, self.receipt = await self._records.append_signed(record)
        else:
            written = await self._records.append(record)
        self.opened = self.opened or record.get("stage") in ("admit", "complete")
        return written.seq

    async def append_failed_login(self, record: Record) -> None:
        """As in Records; a stranger gets no receipt."""
        await self._records.append_failed_login(record)
