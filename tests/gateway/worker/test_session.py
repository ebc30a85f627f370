"""What a worker leaves behind is dealt with by its lead, and it writes nothing of exchanges that are not its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from gateway.admission import Concurrency
from gateway.audit.errors import RecordError
from gateway.entries import Exchange, Recorder
from gateway.errors import BadRequest, TooMany, Unavailable
from gateway.jsonstrict import Json
from gateway.worker.line import Answer, Line
from gateway.worker.remote import RemoteBook, RemoteReviewers
from gateway.worker.wire import Body, Kind
from guards.verdict import Part, Scope
from policies.model import Action, Decision, Review
from tests.doubles import eventually
from tests.gateway.live import policy
from tests.gateway.worker.led import ANN, BOB, admit, complete, house, working

PART = Part(Scope.USER, "/messages/0/content", "user", "pay ACME 900")
REVIEWED = Decision(
    Action.REVIEW, ("payment",), reviews=(("payment", Review("payments", 1, "request", 60_000, False)),)
)


def exchange(id_: str) -> Exchange:
    return Exchange(id_, ANN, "/v1", "engine", policy())


async def test_a_record_says_which_worker_had_it_written_and_the_end_is_signed(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 2) as worker:
        visit = await worker.door.enter(ANN, "x1")
        assert (await visit.records.append(admit("x1"))).seq == 1
        receipt, proof = await visit.records.append_signed(complete("x1"))
        assert (receipt.seq, proof) == (2, "memory; i=2")
        visit.leave()
        assert [record["worker"]["number"] for record in made.of("x1")] == [2, 2]


async def test_an_exchange_that_a_dead_worker_leaves_open_is_ended_once(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        for name in ("open", "streaming", "whole"):
            visit = await worker.door.enter(ANN, name)
            await visit.records.append(admit(name))
        progress = {"type": "response.progress", "stage": "progress", "req": "streaming", "stream": {"received": 90}}
        await visit.records.append(progress)
        await visit.records.append_signed(complete("whole"))
        await worker.die()
        await eventually(lambda: made.types().count("response.orphan") == 2)
        assert made.of("open")[-1] | {"worker": 0} == {
            "type": "response.orphan", "stage": "complete", "req": "open", "tenant": "clinic", "app": "desk",
            "stream": {"released_max": 0, "ended_by": "crash"}, "worker": 0,
        }  # fmt: skip
        assert made.of("streaming")[-1]["stream"]["released_max"] == 90
        assert made.of("whole")[-1]["type"] == "response.complete"


async def test_a_record_that_was_under_way_when_its_worker_died_is_ended_after_it(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        visit = await worker.door.enter(ANN, "x1")
        made.log.slow_s = 0.1
        work = asyncio.ensure_future(visit.records.append(admit("x1")))
        await asyncio.sleep(0.03)
        await worker.die()
        with pytest.raises(Unavailable):
            await work
        await eventually(lambda: len(made.of("x1")) == 2)
        assert [record["type"] for record in made.of("x1")] == ["request.admit", "response.orphan"]


async def test_the_end_of_an_exchange_waits_for_the_log(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        await (await worker.door.enter(ANN, "x1")).records.append(admit("x1"))
        made.log.fail_from = len(made.log.records)
        await worker.die()
        await asyncio.sleep(0.05)
        assert len(made.of("x1")) == 1
        made.log.fail_from = None
        await eventually(lambda: len(made.of("x1")) == 2)


async def test_an_end_that_the_log_did_not_take_is_written_once_though_its_worker_dies(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        visit = await worker.door.enter(ANN, "x1")
        await visit.records.append(admit("x1"))
        made.log.fail_from = len(made.log.records)
        with pytest.raises(Unavailable):
            await visit.records.append_signed(complete("x1"))
        made.log.fail_from = None
        await made.records.settle()
        await worker.die()
        await asyncio.sleep(0.05)
        assert [record["type"] for record in made.of("x1")] == ["request.admit", "response.orphan"]
        assert made.of("x1")[-1]["worker"]["number"] == 1


async def test_places_hold_across_workers_and_a_dead_one_gives_its_own_back(tmp_path: Path) -> None:
    async with house(tmp_path, Concurrency(3, 2)) as (made, _), working(made, 1) as one, working(made, 2) as two:
        await one.door.enter(ANN, "a")
        visit = await two.door.enter(ANN, "b")
        for worker in (one, two):
            with pytest.raises(TooMany):
                await worker.door.enter(ANN, "c")
        await two.door.enter(BOB, "d")
        with pytest.raises(Unavailable, match="3 exchanges"):
            await one.door.enter(BOB, "e")
        visit.leave()
        visit.leave()
        await two.door.enter(ANN, "f")
        await one.die()
        await eventually(lambda: made.admission._open["k1"] == 1)
        await two.door.enter(ANN, "g")


async def test_one_that_is_cancelled_while_it_enters_keeps_no_place(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        work = asyncio.ensure_future(worker.door.enter(ANN, "x1"))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await worker.door.enter(BOB, "x2")
        assert made.admission._open == {"k2": 1}


async def test_only_exchanges_that_came_in_over_this_line_are_written(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 1) as one, working(made, 2) as two:
        await one.door.enter(ANN, "x1")
        book = RemoteBook(two.link.current, two.link)
        for record in (admit("x1"), complete("x1"), {"type": "policy.load", "stage": "complete"}):
            with pytest.raises(Unavailable):
                await book.append(record)
        await book.append_signed({"type": "request.refuse", "stage": "complete", "req": "x9"})
        assert made.types() == ["policy.load", "request.refuse"]


async def test_a_record_that_the_format_refuses_is_a_bug_here_too(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        visit = await worker.door.enter(ANN, "x1")
        with pytest.raises(RecordError):
            await visit.records.append({**admit("x1"), "score": 0.5})


async def test_failed_logins_of_all_workers_have_one_allowance(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 1) as one, working(made, 2) as two:
        for worker in (one, two):
            book = RemoteBook(worker.link.current, worker.link)
            for _ in range(20):
                await book.append_failed_login({"type": "auth.fail", "stage": "complete"})
        assert made.types().count("auth.fail") == 10
        assert made.metrics.registry.get_sample_value("gatehouse_auth_records_suppressed_total") == 30


async def test_people_vote_at_the_lead_on_what_a_worker_holds(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        visit = await worker.door.enter(ANN, "x1")
        reviewers, records = RemoteReviewers(worker.link), cast(Recorder, visit.records)
        work = asyncio.ensure_future(reviewers.reviewed(records, exchange("x1"), REVIEWED, [PART], ""))
        await eventually(lambda: bool(made.reviews.rows()))
        [row] = made.reviews.rows()
        assert (row["request"], row["tenant"], row["rules"]) == ("x1", "clinic", ["payment"])
        assert made.reviews.held(str(row["id"])).shown()["parts"] == [
            {"part": PART.path, "scope": "user", "text": PART.text}
        ]
        await made.reviews.vote(
            made.records, {"type": "review.vote", "stage": "complete"}, str(row["id"]), "eve", approve=True
        )
        assert await work == REVIEWED
        kinds = [record["type"] for record in made.of("x1")]
        assert kinds == ["review.open", "review.close"]


@pytest.mark.parametrize("ends", ["client", "worker"])
async def test_a_review_whose_client_or_worker_is_gone_is_abandoned(tmp_path: Path, ends: str) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        visit = await worker.door.enter(ANN, "x1")
        reviewers, records = RemoteReviewers(worker.link), cast(Recorder, visit.records)
        work = asyncio.ensure_future(reviewers.reviewed(records, exchange("x1"), REVIEWED, [PART], ""))
        await eventually(lambda: bool(made.reviews.rows()))
        if ends == "client":
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
        else:
            await worker.die()
            with pytest.raises(Unavailable):
                await work
            await eventually(lambda: len(made.of("x1")) == 2)
        assert made.reviews.rows() == []
        closed = made.of("x1")[-1]
        assert (closed["type"], closed["review"]["outcome"]) == ("review.close", "abandoned")


@pytest.mark.parametrize("hello", [{}, {"number": 0, "version": "x"}, {"number": 1, "version": "another"}])
async def test_nothing_is_done_for_somebody_who_has_not_said_who_it_is(tmp_path: Path, hello: dict[str, Json]) -> None:
    class End:
        def began(self, line: Line) -> None: ...
        def called(self, kind: Kind, body: Body) -> Answer:
            raise ValueError

        def told(self, kind: Kind, body: Body) -> None: ...
        def ended(self) -> None: ...

    async with house(tmp_path) as (made, _):
        loop = asyncio.get_running_loop()
        _, line = await loop.create_unix_connection(lambda: Line(End()), str(made.socket))
        if hello:
            with pytest.raises(BadRequest):
                await line.call(Kind.HELLO, hello, dict)
        with pytest.raises(Unavailable):
            await line.call(Kind.ENTER, {"id": "x", "key": "k1", "tenant": "clinic", "app": "desk"}, dict)
        assert not made.admission._open
        assert not line.is_open


async def test_what_no_worker_calls_ends_the_line(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        with pytest.raises(Unavailable):
            await worker.link.current().call(Kind.POLICY, {}, dict)
        assert not worker.link.is_up
