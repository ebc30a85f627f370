"""Each caller hears of its own record, and whether the local log has it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.audit.draft import Drafter
from gateway.audit.errors import AuditUnavailable, RecordError, Unconfirmed
from gateway.audit.waiting import Waiting, deliver, fail
from gateway.audit.writer import Receipt

DRAFT = Drafter({"v": 1}).draft({"type": "auth.fail"})


def batch_of(count: int) -> list[Waiting]:
    loop = asyncio.get_running_loop()
    return [Waiting(DRAFT, loop.create_future(), loop) for _ in range(count)]


async def told(batch: list[Waiting]) -> list[Receipt | BaseException]:
    return await asyncio.gather(*(one.future for one in batch if one.future), return_exceptions=True)


async def test_each_gets_its_own_from_another_thread() -> None:
    batch = [*batch_of(2), Waiting(DRAFT)]
    refused = RecordError("too long")
    await asyncio.to_thread(deliver, batch, [Receipt(4, b"x"), refused, Receipt(5, b"y")])
    assert await told(batch) == [Receipt(4, b"x"), refused]


@pytest.mark.parametrize("is_written", [True, False])
async def test_who_is_failed_learns_whether_the_local_log_has_it(is_written: bool) -> None:
    batch = batch_of(2)
    fail(batch, "no", [Receipt(7, b"x"), Receipt(8, b"y")] if is_written else ())
    found = await told(batch)
    assert all(isinstance(one, AuditUnavailable) for one in found)
    assert [one.seq for one in found if isinstance(one, Unconfirmed)] == ([7, 8] if is_written else [])


async def test_a_loop_that_is_closed_is_passed_over() -> None:
    loop = asyncio.new_event_loop()
    future: asyncio.Future[Receipt] = loop.create_future()
    loop.close()
    deliver([Waiting(DRAFT, future, loop)], [Receipt(0, b"")])
