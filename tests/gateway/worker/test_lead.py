"""The lead knows its workers, is ready when they are, and ends after them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import ConfigError, GatewayError, Unavailable
from gateway.health import NOT_PROBED
from gateway.worker.lead import START_S, Lead
from tests.doubles import eventually
from tests.gateway.worker.led import ANN, Worker, admit, complete, house, working


async def probe(lead: object, number: int) -> str:
    try:
        await lead.probes()[f"worker_{number}"]()  # type: ignore[attr-defined] # a Lead
    except GatewayError as exc:
        return exc.code
    return "ok"


async def probed(lead: Lead, code: str) -> bool:
    """Whether worker 1 is found so, at the latest when it has had ten seconds."""
    for _ in range(1000):
        if await probe(lead, 1) == code:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_worker_counts_when_it_has_joined_and_said_that_it_is_well(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead):
        assert sorted(lead.probes()) == ["worker_1", "worker_2"]
        assert await probe(lead, 1) == NOT_PROBED, "that processes take their time to start is no news"
        async with working(made) as worker:
            assert await probe(lead, 1) == NOT_PROBED
            worker.link.tell_state(is_ready=True, connections=5)
            assert await probed(lead, "ok")
            assert await probe(lead, 2) == NOT_PROBED
            lead._began -= START_S
            assert await probe(lead, 2) == "worker_away"
            worker.link.tell_state(is_ready=False, connections=5)
            assert await probed(lead, "worker_not_ready")
        assert await probed(lead, "worker_away")


async def test_workers_hear_how_the_lead_is_doing_and_who_has_the_fewest_connections(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        worker.link.tell_state(is_ready=True, connections=5)
        lead.share.connections = lambda: 9
        await eventually(lambda: lead.share.ahead() == 4)
        session = next(iter(lead._joined))
        assert session.line is not None
        session.line.heard_at -= 3
        assert lead.share.ahead() == 0, "one that is stopped takes none"
        session.line.heard_at += 3
        lead.tell(lambda: {"audit": "audit_no_space"})
        await eventually(lambda: worker.link.least == 5)
        await eventually(lambda: worker.link.checks == {"audit": "audit_no_space"})


async def test_a_number_that_nobody_gave_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _):
        worker = Worker(made, 7)
        await asyncio.sleep(0.1)
        assert not worker.link.is_up
        await worker.close()


async def test_a_new_process_of_a_number_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """The old one may be stopped and not dead: whatever it still sends is of no use."""
    async with house(tmp_path) as (made, _), working(made) as old:
        visit = await old.door.enter(ANN, "x1")
        await visit.records.append(admit("x1"))
        old._task.cancel()
        async with working(made) as new:
            with pytest.raises(Unavailable):
                await visit.records.append_signed(complete("x1"))
            await eventually(lambda: [record["type"] for record in made.of("x1")][1:] == ["response.orphan"])
            assert new.link.is_up


async def test_the_lead_ends_after_the_exchanges_of_its_workers(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        visit = await worker.door.enter(ANN, "x1")
        await visit.records.append(admit("x1"))
        closing = asyncio.ensure_future(lead.close(5))
        await eventually(lambda: worker.link.parting)
        with pytest.raises(Unavailable):
            await worker.door.enter(ANN, "x2")
        assert not closing.done()
        await visit.records.append_signed(complete("x1"))
        visit.leave()
        await asyncio.wait_for(closing, 20)
        assert made.types()[1:] == ["request.admit", "response.complete"]


async def test_what_does_not_end_in_time_is_ended_by_the_lead(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        await (await worker.door.enter(ANN, "x1")).records.append(admit("x1"))
        await lead.close(0.05)
        assert made.types()[1:] == ["request.admit", "response.orphan"]


async def test_a_worker_finds_the_next_lead_by_itself_and_takes_no_exchange_over(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        visit = await worker.door.enter(ANN, "x1")
        await lead.close(0.0)
        with pytest.raises(Unavailable):
            await worker.door.enter(ANN, "x2")
        following = made.lead()
        await following.listen(made.socket)
        await worker.up()
        with pytest.raises(Unavailable):
            await visit.records.append_signed(complete("x1"))
        await worker.door.enter(ANN, "x3")
        await following.close(0.0)


async def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _):
        assert made.socket.stat().st_mode & 0o777 == 0o600
        made.socket.parent.chmod(0o750)
        with pytest.raises(ConfigError):
            await made.lead().listen(made.socket)


async def test_metrics_are_those_of_all_processes(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        for metrics in (made.metrics, worker.metrics):
            metrics.exchanges.labels("/v1", "allow", "").inc(2)
        wanted = b'gatehouse_exchanges_total{code="",outcome="allow",route="/v1"} 4.0'
        assert wanted in await lead.exposition()
        await worker.link.part()
        await eventually(lambda: not worker.link.is_up)
        await asyncio.sleep(0.05)
        assert wanted in await lead.exposition(), "what a worker counted stays when it has gone"
