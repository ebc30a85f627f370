"""A call's records: what opens it, what ends it, and the receipt for the end alone."""

from __future__ import annotations

import pytest

from gateway.errors import Unavailable
from gateway.ledger import Ledger
from gateway.metrics import Metrics
from gateway.records import Records
from tests.doubles import MemoryLog


def ledger(log: MemoryLog) -> Ledger:
    return Ledger(Records(log, Metrics()))  # type: ignore[arg-type] # a double


async def test_the_receipt_is_that_of_the_record_that_ends_the_call() -> None:
    own = ledger(MemoryLog())
    assert await own.append({"type": "request.findings", "stage": "progress"}) == 0
    assert not own.opened, "rows of findings alone are no end: the call is still to be refused if it fails now"
    assert await own.append({"type": "request.admit", "stage": "admit"}) == 1
    assert (own.opened, own.receipt) == (True, "")
    await own.append({"type": "response.progress", "stage": "progress"})
    assert own.receipt == ""
    assert await own.append({"type": "response.complete", "stage": "complete"}) == 3
    assert own.receipt == "memory; i=3"


async def test_a_record_that_was_not_written_opens_nothing_and_has_no_receipt() -> None:
    own = ledger(MemoryLog(fail_from=0))
    with pytest.raises(Unavailable):
        await own.append({"type": "request.refuse", "stage": "complete"})
    assert (own.opened, own.receipt) == (False, "")


async def test_a_stranger_gets_no_receipt() -> None:
    own = ledger(MemoryLog())
    await own.append_failed_login({"type": "auth.fail", "stage": "complete"})
    assert own.receipt == ""
