"""Who comes in is counted once and leaves once, and is decided by the policy that is theirs."""

from __future__ import annotations

import pytest

from gateway.admission import Admission, Concurrency
from gateway.door import OwnDoor
from gateway.errors import TooMany
from gateway.exchange import Caller
from gateway.metrics import Metrics
from gateway.records import Records
from gateway.steps import InForce
from tests.doubles import MemoryLog
from tests.gateway.live import in_force

RECORDS = Records(MemoryLog(), Metrics())  # type: ignore[arg-type] # a double
ANN, BOB = Caller("k1", "clinic", "app"), Caller("k2", "bank", "app")


async def test_a_place_is_free_again_when_an_exchange_has_left() -> None:
    door = OwnDoor(Admission(Concurrency(8, 1)), RECORDS, lambda _caller, _id: in_force())
    visit = await door.enter(ANN, "x1")
    with pytest.raises(TooMany):
        await door.enter(ANN, "x2")
    await door.enter(BOB, "x3")
    visit.leave()
    assert (await door.enter(ANN, "x4")).records is door.records


async def test_a_policy_for_some_callers_comes_before_the_one_for_everybody() -> None:
    everybodys, banks = in_force(), in_force()
    asked: list[str] = []

    def for_all(caller: Caller, exchange_id: str) -> InForce:
        asked.append(exchange_id)
        return everybodys

    door = OwnDoor(
        Admission(Concurrency()),
        RECORDS,
        for_all,
        lambda caller, _exchange: banks if caller.tenant == "bank" else None,
    )
    assert (await door.enter(BOB, "x1")).in_force() is banks
    assert (await door.enter(ANN, "x2")).in_force() is everybodys
    assert asked == ["x2"]
