"""Every erasure is recorded before and after; a crash anywhere is finished at the next start; a hold is told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.content.erasing import MOST_REFS, Eraser
from gateway.content.errors import ApprovalSpent, ContentUnavailable, HoldsForbid
from gateway.content.holds import Hold, Kind, set_hold
from gateway.content.shred import ordered
from gateway.content.store import ContentStore
from gateway.errors import Unavailable
from tests.doubles import MemoryAudit
from tests.gateway.content.opened import CANARY, DAY_NS, FileLog, item, opened

SAID = {"type": "content.erase", "req": "call-1", "actor": {"type": "operator", "sub": "paul"}, "reason": "asked to"}
ROOT = Path(__file__).resolve().parents[3]


async def fill(store: ContentStore) -> dict[str, list[str]]:
    refs: dict[str, list[str]] = {}
    for owner, req in (("sub_a", "r1"), ("sub_a", "r2"), ("sub_b", "r3"), ("", "r4")):
        refs.setdefault(req, []).append((await store.keep(item(req=req, owner=owner))).place.ref)
    return refs


async def readable(store: ContentStore) -> set[str]:
    rows = [row for req in ("r1", "r2", "r3", "r4") for row in await store.do(lambda keys, r=req: keys.rows(r))]  # type: ignore[misc] # of the loop
    return {row.place.req for row in rows if await store.read(row) == {"text": CANARY}}


def files(directory: Path) -> list[str]:
    return sorted(f"{path.parent.name}/{path.name}" for path in (directory / "state" / "content").glob("*/*"))


def shown(audit: Any) -> list[tuple[Any, ...]]:
    return [(record["type"], record["stage"], record.get("erase")) for record in audit.records]


async def test_a_person_is_erased_between_two_records(tmp_path: Path) -> None:
    audit = MemoryAudit()
    async with opened(tmp_path) as store:
        await fill(store)
        [kek] = await store.do(lambda keys: keys.keys_of_owner("sub_a"))
        assert await Eraser(store, audit).erase_person(SAID, "sub_a") == 2
        assert await readable(store) == {"r3", "r4"}
        assert await store.do(ordered) == []
    erase = {"kek_id": kek}
    assert shown(audit) == [("content.erase", "admit", erase), ("content.erase", "complete", erase)]
    assert audit.records[1]["erased"] == 2
    assert {record["subject"] for record in audit.records} == {"sub_a"}


async def test_a_request_is_erased_by_its_references(tmp_path: Path) -> None:
    audit = MemoryAudit()
    async with opened(tmp_path) as store:
        refs = await fill(store)
        assert await Eraser(store, audit).erase(SAID, refs["r1"]) == 1
        assert await readable(store) == {"r2", "r3", "r4"}
    assert [record["erase"] for record in audit.records] == [{"refs": refs["r1"]}] * 2


async def test_of_an_exchange_that_goes_on_nothing_more_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        refs = await fill(store)
        eraser = Eraser(store, MemoryAudit())
        await eraser.erase(SAID, refs["r1"], ["r1"])
        with pytest.raises(ContentUnavailable):
            await store.keep(item(req="r1", owner="sub_a"))
        await store.keep(item(req="r2", owner="sub_a"))
        await store.do(lambda keys: set_hold(keys, Hold(Kind.REQUEST, "r2", "case-1", {})))
        with pytest.raises(HoldsForbid):
            await eraser.erase(SAID, refs["r2"], ["r2"])
        await store.keep(item(req="r2", owner="sub_a"))


async def test_a_hold_forbids_and_the_log_knows(tmp_path: Path) -> None:
    audit = MemoryAudit()
    async with opened(tmp_path) as store:
        refs = await fill(store)
        hold = await store.do(lambda keys: set_hold(keys, Hold(Kind.REQUEST, "r2", "case-1", {})))
        with pytest.raises(HoldsForbid):
            await Eraser(store, audit).erase_person(SAID, "sub_a")
        assert await readable(store) == {"r1", "r2", "r3", "r4"}
        assert await store.do(ordered) == []
        await store.keep(item(req="r1", owner="sub_a"))  # they were not erased, so their exchanges go on
    assert audit.records[-1]["refused"] == {"holds": [hold.id]}
    assert "erase" not in audit.records[-1]
    assert refs["r1"]


async def test_an_approval_stands_behind_one_erasure(tmp_path: Path) -> None:
    audit = MemoryAudit()
    async with opened(tmp_path) as store:
        refs = await fill(store)
        eraser, again = Eraser(store, audit), {**SAID, "req": "call-2"}
        assert await eraser.erase(SAID, refs["r1"], ["r1"], "number-1") == 1
        with pytest.raises(ApprovalSpent):
            await eraser.erase(again, refs["r3"], ["r3"], "number-1")
        with pytest.raises(ApprovalSpent):
            await eraser.erase_person(again, "sub_b", "number-1")
        assert await readable(store) == {"r2", "r3", "r4"}
        await store.keep(item(req="r3", owner="sub_b"))
        assert len(audit.records) == 2, "what was refused says nothing of an erasure"
    async with opened(tmp_path) as store:
        with pytest.raises(ApprovalSpent):
            await Eraser(store, audit).erase_person(again, "sub_b", "number-1")
        assert await Eraser(store, audit).erase_person(again, "sub_b", "number-2") == 2


async def test_no_record_no_erasure(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        with pytest.raises(Unavailable):
            await Eraser(store, MemoryAudit(fail_from=0)).erase_person(SAID, "sub_a")
        assert await readable(store) == {"r1", "r2", "r3", "r4"}
        assert await store.do(ordered) == []


async def test_an_erasure_whose_last_record_failed_is_finished_later(tmp_path: Path) -> None:
    audit = MemoryAudit(fail_from=1)
    async with opened(tmp_path) as store:
        await fill(store)
        eraser = Eraser(store, audit)
        with pytest.raises(Unavailable):
            await eraser.erase_person(SAID, "sub_a")
        assert await readable(store) == {"r3", "r4"}
        audit.fail_from = None
        await eraser.recover()
        assert await store.do(ordered) == []
    assert [record["stage"] for record in audit.records] == ["admit", "admit", "complete"]
    assert audit.records[-1]["erased"] == 2


async def test_retention_erases_what_is_past_its_time_and_drops_its_files(tmp_path: Path) -> None:
    audit = MemoryAudit()
    async with opened(tmp_path) as store:
        await fill(store)
        await store.keep(item(req="r5", class_="hipaa-6y"))
        await store.do(lambda keys: set_hold(keys, Hold(Kind.REQUEST, "r3", "case-1", {})))
        eraser, later = Eraser(store, audit), 31 * DAY_NS
        assert await eraser.prune() == 0
        now = (await store.do(lambda keys: keys.rows("r1")))[0].expires_ns
        assert await eraser.prune(now_ns=now + later) == 3
        assert await readable(store) == {"r3"}
        await store.do(lambda keys: keys.database.execute("DELETE FROM hold").rowcount)
        assert await eraser.prune(now_ns=now + later) == 1
        assert len(files(tmp_path)) == 2, "the file that still grows stays"
    async with opened(tmp_path) as store:
        await store.keep(item(req="r6"))
        assert await Eraser(store, audit).prune() == 0
        assert files(tmp_path) == ["default/0000000000000001.blobs", "hipaa-6y/0000000000000000.blobs"]
        assert await store.do(lambda keys: keys.spent_segments()) == []
    assert {record["type"] for record in audit.records} == {"retention.prune"}
    assert audit.records[0]["actor"] == {"type": "gateway", "sub": "retention"}


async def test_what_is_too_much_for_one_record_is_named_in_several(tmp_path: Path) -> None:
    audit = MemoryAudit()
    async with opened(tmp_path) as store:
        await asyncio.gather(*(store.keep(item(req="long")) for _ in range(MOST_REFS + 5)))
        refs = [row.place.ref for row in await store.do(lambda keys: keys.rows("long"))]
        assert await Eraser(store, audit).erase(SAID, refs) == MOST_REFS + 5
    admitted = [record["erase"]["refs"] for record in audit.records if record["stage"] == "admit"]
    assert [len(some) for some in admitted] == [MOST_REFS, 5]
    assert sorted(ref for some in admitted for ref in some) == sorted(refs)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from gateway.content.erasing import Eraser
from tests.gateway.content.opened import FileLog, opened
from tests.gateway.content.test_erasing import SAID, fill

async def main(directory, die_at):
    async with opened(directory) as store:
        await fill(store)
        await Eraser(store, FileLog(directory / "log", die_at)).erase_person(SAID, "sub_a")

asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
"""


@pytest.mark.parametrize("die_at", [0, 0.5, 1, 1.5])
async def test_killed_between_any_two_steps_it_is_finished_at_the_next_start(tmp_path: Path, die_at: float) -> None:
    """Before the first record, after it, after the keys went, after the last record: the end is always the same."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(die_at)]
    killed = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=False)
    assert killed.returncode == -9
    log = FileLog(tmp_path / "log")
    recorded = len(log.records())
    async with opened(tmp_path) as store:
        gone_before = await readable(store) == {"r3", "r4"}
        assert gone_before == (die_at >= 1)
        assert recorded >= 1 or not gone_before, "nothing is gone that the log does not know of"
        for _ in range(2):
            await Eraser(store, log).recover()
        assert await readable(store) == {"r3", "r4"}
    assert (log.records()[-1]["stage"], log.records()[-1]["erased"]) == ("complete", 2)
    assert len({record["erase"]["kek_id"] for record in log.records()}) == 1
