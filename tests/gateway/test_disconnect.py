"""Work lives as long as somebody waits for it, and has wound up before anybody goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import disconnect
from gateway.disconnect import ClientGone, refused_if_cut_off, unbroken, unless_gone
from gateway.entries import Exchange
from gateway.exchange import Caller
from policies.load import parse_policy
from tests.doubles import MemoryAudit

POLICY = b"""
gatehouse: policy/v1
name: p
version: "1"
detectors: {keys: {use: secrets}}
rules:
  - {id: keys, on: [user], when: {keys: {count: {gte: 1}}}, do: {block: {code: keys}}}
"""
EXCHANGE = Exchange("id-1", Caller("k", "t", "a"), "/v1/chat/completions", "engine", parse_policy(POLICY, "p"))


class Client:
    """Sends leftovers of its request, then hangs up when told."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.leftovers = 2

    async def receive(self) -> dict[str, Any]:
        if self.leftovers:
            self.leftovers -= 1
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


class Work:
    """Runs until told, and takes a moment to wind up."""

    def __init__(self) -> None:
        self.begun, self.finish, self.wound_up = asyncio.Event(), asyncio.Event(), False

    async def run(self) -> str:
        self.begun.set()
        try:
            await self.finish.wait()
            return "done"
        finally:
            await asyncio.sleep(0.02)
            self.wound_up = True


async def test_the_result_of_work_is_returned_and_the_watch_ends() -> None:
    client, work = Client(), Work()
    work.finish.set()
    assert await unless_gone(client.receive, work.run()) == "done"
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


async def test_a_failure_of_the_work_is_raised_as_it_is() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await unless_gone(Client().receive, fail())


async def test_a_hang_up_ends_the_work_before_it_is_reported() -> None:
    client, work = Client(), Work()
    watched = asyncio.ensure_future(unless_gone(client.receive, work.run()))
    await work.begun.wait()
    client.gone.set()
    with pytest.raises(ClientGone):
        await watched
    assert work.wound_up


async def test_a_result_that_is_there_wins_over_a_hang_up() -> None:
    client = Client()
    client.gone.set()
    client.leftovers = 0

    async def quick() -> str:
        return "done"

    assert await unless_gone(client.receive, quick()) == "done"


async def test_cancelling_the_watcher_ends_the_work_first() -> None:
    """A server that shuts down cancels its requests; each still writes its closing record."""
    work = Work()
    watched = asyncio.ensure_future(unless_gone(Client().receive, work.run()))
    await work.begun.wait()
    watched.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watched
    assert work.wound_up


async def test_a_connection_that_breaks_is_a_client_that_is_gone() -> None:
    """Some servers raise from `receive`; the work must not go on for nobody."""
    work = Work()

    async def broken() -> dict[str, Any]:
        await work.begun.wait()
        raise ConnectionResetError

    with pytest.raises(ClientGone):
        await unless_gone(broken, work.run())
    assert work.wound_up


@pytest.mark.parametrize(("is_gone", "code", "status"), [(True, "client_gone", 499), (False, "shutting_down", 503)])
async def test_what_is_cut_off_before_it_is_admitted_is_refused_on_record(
    is_gone: bool, code: str, status: int
) -> None:
    audit, client = MemoryAudit(slow_s=0.02), disconnect.Client()

    async def judging() -> None:
        async with refused_if_cut_off(audit, EXCHANGE, client, 7):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(judging())
    await asyncio.sleep(0)
    client.is_gone = is_gone
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [record] = audit.records
    assert (record["type"], record["req"], record["err"]["code"]) == ("request.refuse", "id-1", code)
    assert (record["http"]["status"], record["http"]["bytes_in"]) == (status, 7)


async def test_a_log_that_is_away_does_not_stop_a_cancellation() -> None:
    client = disconnect.Client(is_gone=True)
    with pytest.raises(asyncio.CancelledError):
        async with refused_if_cut_off(MemoryAudit(fail_from=0), EXCHANGE, client, 7):
            raise asyncio.CancelledError


async def test_what_must_not_be_cut_in_two_is_not_by_several_cancellations_either() -> None:
    done: list[str] = []

    async def record() -> None:
        await asyncio.sleep(0.05)
        done.append("written")

    task = asyncio.ensure_future(unbroken(record()))
    for _ in range(3):
        await asyncio.sleep(0.005)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["written"]


async def test_a_drain_that_ends_just_after_a_hang_up_still_waits_for_the_work() -> None:
    client, work = Client(), Work()
    watched = asyncio.ensure_future(unless_gone(client.receive, work.run()))
    await work.begun.wait()
    client.gone.set()
    await asyncio.sleep(0.005)
    watched.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watched
    assert work.wound_up
