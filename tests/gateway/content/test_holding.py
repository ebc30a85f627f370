"""A hold is in force before its record and until after that of its release; the log knows every one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.content.errors import ApprovalSpent
from gateway.content.holding import Holding
from gateway.content.holds import Hold, Kind, set_hold
from gateway.errors import Unavailable
from tests.doubles import MemoryAudit
from tests.gateway.content.opened import opened

HOLD = Hold(Kind.SUBJECT, "sub_a", "case-1", {"type": "hold.set", "stage": "complete", "req": "call-1"})


async def test_set_once_recorded_once_and_released(tmp_path: Path) -> None:
    audit = MemoryAudit()
    async with opened(tmp_path) as store:
        holding = Holding(store, audit)
        stands = await holding.set(HOLD)
        assert (await holding.set(HOLD)).id == stands.id
        assert [hold.id for hold in await holding.all()] == [stands.id]
        assert await holding.release("no-such-hold", {}) is None
        assert await holding.release("", {}) is None
        released = await holding.release(stands.id, {"type": "hold.release", "stage": "complete"})
        assert released is not None
        assert await holding.all() == []
    shown = {"id": stands.id, "on": "subject", "value": "sub_a", "case": "case-1"}
    assert [(record["type"], record["hold"]) for record in audit.records] == [
        ("hold.set", shown),
        ("hold.release", shown),
    ]


async def test_an_approval_releases_one_hold(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        holding = Holding(store, MemoryAudit())
        stands = await holding.set(HOLD)
        assert await holding.release(stands.id, {}, "number-1") is not None
        again = await holding.set(HOLD)
        with pytest.raises(ApprovalSpent):
            await holding.release(again.id, {}, "number-1")
        assert [hold.id for hold in await holding.all()] == [again.id]


async def test_without_its_record_there_is_no_hold_and_no_release(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(Unavailable):
            await Holding(store, MemoryAudit(fail_from=0)).set(HOLD)
        assert await Holding(store, MemoryAudit()).all() == []
        stands = await Holding(store, MemoryAudit()).set(HOLD)
        with pytest.raises(Unavailable):
            await Holding(store, MemoryAudit(fail_from=0)).release(stands.id, {})
        assert len(await Holding(store, MemoryAudit()).all()) == 1


async def test_a_hold_that_a_crash_left_without_its_record_gets_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(lambda keys: set_hold(keys, HOLD))
    audit = MemoryAudit()
    async with opened(tmp_path) as store:
        for _ in range(2):
            await Holding(store, audit).recover()
    [record] = audit.records
    assert (record["type"], record["resumed"]) == ("hold.set", True)
