"""A worker without its lead lets nobody in, says so, and finds it again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import Unavailable
from gateway.worker.errors import LineBrokenError
from gateway.worker.line import SILENT_S
from gateway.worker.remote import RemoteBook
from tests.doubles import eventually
from tests.gateway.worker.led import ANN, Worker, house, working


async def test_it_waits_for_a_lead_that_is_not_there_yet(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead):
        await lead.close(0)
        worker = Worker(made)
        await asyncio.sleep(0.05)
        assert not worker.link.joined.is_set()
        assert RemoteBook(worker.link.current, worker.link).state == "audit_unavailable"
        with pytest.raises(LineBrokenError):
            worker.link.line()
        following = made.lead()
        await following.listen(made.socket)
        await worker.up()
        await following.close(0)
        await worker.close()


async def test_the_state_of_the_log_is_what_the_lead_said_last(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        book = RemoteBook(worker.link.current, worker.link)
        assert book.state == "audit_unavailable", "nothing was said yet"
        lead.tell(lambda: {"audit": "ok"})
        await eventually(lambda: book.state == "ok")
        await lead.close(0)
        await eventually(lambda: book.state == "audit_unavailable")


async def test_a_lead_that_says_nothing_any_more_counts_as_gone(tmp_path: Path) -> None:
    """It may be stopped, and its socket open; clients are told, and do not wait."""
    async with house(tmp_path) as (made, _), working(made) as worker:
        worker.link.current().heard_at -= SILENT_S + 1
        with pytest.raises(Unavailable):
            await worker.door.enter(ANN, "x1")
        assert not worker.link.is_up


async def test_farewell_is_for_ever(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        await worker.link.part()
        await asyncio.wait_for(worker._task, 20)
        assert not worker.link.is_up
