"""Exchanges that wait for people: nothing of them leaves before a vote that is on disk, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.entries import Exchange
from gateway.errors import Conflict, GatewayError, NotFound, Unavailable
from gateway.exchange import Caller
from gateway.reviews import MOST_HELD, Matter, ReviewDesk
from guards.verdict import Part, Scope
from policies.decide import decide
from policies.load import parse_policy
from policies.model import REVIEW_DENIED, REVIEW_EXPIRED, Action, Decision, Facts, Redaction, Review, Risk
from tests.doubles import MemoryAudit, eventually

POLICY = parse_policy(
    b"""
gatehouse: policy/v1
name: reviews
version: "1"
detectors: {hidden: {use: unicode}}
rules:
  - {id: payment, on: [user], do: {review: {queue: payments, quorum: 2, hold: request, distinct_from: requester}}}
  - {id: hidden, on: [user], when: {hidden: {count: {gte: 1}}}, do: flag}
""",
    "p",
)
PART = Part(Scope.USER, "/messages/0/content", "user", "pay ACME 900")
EXCHANGE = Exchange("id-1", Caller("u1", "bank", "branch"), "/v1", "engine", POLICY)
DECISION = Decision(Action.REVIEW, ("payment",), reviews=(("payment", Review("payments", 2, "request", 60_000, True)),))
RECORD: dict[str, Any] = {"type": "review.vote", "stage": "complete", "actor": {"sub": "ann"}}


class Waiting:
    """A desk with one exchange that waits at it."""

    def __init__(self, decision: Decision = DECISION) -> None:
        self.desk, self.audit = ReviewDesk(), MemoryAudit()
        self.work = asyncio.ensure_future(self.desk.reviewed(self.audit, EXCHANGE, decision, [PART], "person-7"))

    async def id(self) -> str:
        await eventually(lambda: bool(self.desk.rows()))
        return str(self.desk.rows()[0]["id"])

    async def end(self) -> None:
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)

    async def vote(self, name: str, *, approve: bool = True) -> Any:
        return await self.desk.vote(self.audit, RECORD, await self.id(), name, approve=approve)


async def test_reviewers_see_the_picture_that_they_judge() -> None:
    picture = Part(Scope.IMAGE, "/messages/0/content/1/image_url/url", "user", "", picture="data:image/png;base64,QUJD")
    desk = ReviewDesk()
    work = asyncio.ensure_future(desk.reviewed(MemoryAudit(), EXCHANGE, DECISION, [PART, picture], "person-7"))
    await asyncio.sleep(0.01)
    text, shown = desk.held(str(desk.rows()[0]["id"])).shown()["parts"]  # type: ignore[misc, union-attr]
    assert "picture" not in text
    assert shown["picture"] == picture.picture  # type: ignore[index, call-overload]
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_two_who_approve_let_it_go_on_and_every_step_is_a_record() -> None:
    waiting = Waiting()
    assert await waiting.vote("ann") == {"id": await waiting.id(), "state": "pending", "why": "1 of 2"}
    assert not waiting.work.done()
    await waiting.vote("bob")
    assert await waiting.work == DECISION
    assert waiting.audit.types() == ["review.open", "review.vote", "review.vote", "review.close"]
    opened, closed = waiting.audit.records[0], waiting.audit.records[-1]
    assert opened["review"]["rules"] == [{"rule": "payment", "queue": "payments"}]
    assert (closed["review"]["outcome"], closed["req"]) == ("approved", "id-1")
    assert waiting.desk.rows() == []
    assert "ACME" not in str(waiting.audit.records)


async def test_one_who_denies_blocks_it() -> None:
    waiting = Waiting()
    await waiting.vote("ann", approve=False)
    decision = await waiting.work
    assert (decision.action, decision.code, decision.status) == (Action.BLOCK, REVIEW_DENIED, 400)
    assert waiting.audit.records[-1]["review"]["outcome"] == "denied"


async def test_when_its_time_is_up_it_is_blocked() -> None:
    [(rule, review)] = DECISION.reviews
    short = replace(DECISION, reviews=((rule, replace(review, timeout_ms=20)),))
    waiting = Waiting(short)
    decision = await waiting.work
    assert (decision.action, decision.code) == (Action.BLOCK, REVIEW_EXPIRED)
    assert waiting.audit.types() == ["review.open", "review.expire"]
    with pytest.raises(NotFound):
        await waiting.desk.vote(waiting.audit, RECORD, "gone", "ann", approve=True)


@pytest.mark.parametrize("name", ["u1", "person-7"])
async def test_whoever_asked_has_no_vote(name: str) -> None:
    waiting = Waiting()
    with pytest.raises(Conflict) as error:
        await waiting.vote(name)
    assert error.value.code == "vote_refused"
    assert waiting.audit.types() == ["review.open"], "a vote that does not count is no vote"
    await waiting.end()


async def test_a_client_that_hangs_up_closes_it() -> None:
    waiting = Waiting()
    await waiting.id()
    waiting.work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting.work
    assert waiting.audit.records[-1]["review"]["outcome"] == "abandoned"
    assert waiting.desk.rows() == []


async def test_a_client_that_hangs_up_while_it_is_opened_closes_it() -> None:
    waiting = Waiting()
    waiting.audit.slow_s = 0.05
    await asyncio.sleep(0.01)
    waiting.work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting.work
    assert waiting.audit.types() == ["review.open", "review.close"]
    assert waiting.desk.rows() == []


async def test_those_whose_first_record_is_being_written_have_a_place_already() -> None:
    """A thousand and ten that come at once, before any of them is recorded."""
    desk, audit = ReviewDesk(), MemoryAudit()
    audit.slow_s = 0.05
    matter = Matter.of(EXCHANGE, DECISION, [PART], "person-7")
    waiting = [asyncio.ensure_future(desk.hold(audit, matter)) for _ in range(MOST_HELD + 10)]
    await asyncio.sleep(0.01)
    refused = [one.exception() for one in waiting if one.done()]
    assert [getattr(error, "code", "") for error in refused] == ["review_unavailable"] * 10
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert desk.rows() == []


async def test_one_that_cannot_be_recorded_takes_no_place() -> None:
    desk, matter = ReviewDesk(), Matter.of(EXCHANGE, DECISION, [PART], "person-7")
    for _ in range(MOST_HELD + 1):
        with pytest.raises(Unavailable) as error:
            await desk.hold(MemoryAudit(fail_from=0), matter)
        assert error.value.code == "audit_unavailable"


async def test_a_vote_that_is_on_disk_too_late_is_told_so() -> None:
    [(rule, review)] = DECISION.reviews
    waiting = Waiting(replace(DECISION, reviews=((rule, replace(review, quorum=1, timeout_ms=50)),)))
    name = await waiting.id()
    waiting.audit.slow_s = 0.1
    with pytest.raises(Conflict):
        await waiting.desk.vote(waiting.audit, RECORD, name, "ann", approve=True)
    assert (await waiting.work).code == REVIEW_EXPIRED


@pytest.mark.parametrize(("approve", "code"), [(False, REVIEW_DENIED), (True, None)])
async def test_a_vote_in_time_counts_before_somebody_who_accepts_that_there_is_none(
    approve: bool, code: str | None
) -> None:
    """It was cast before the time was up and is being recorded: what was denied does not go on for want of votes."""
    [(rule, review)] = DECISION.reviews
    loose = replace(review, quorum=1, timeout_ms=50, risk=Risk("tests", "R-1", 2**62))
    waiting = Waiting(replace(DECISION, reviews=((rule, loose),)))
    name = await waiting.id()
    waiting.audit.slow_s = 0.1
    assert (await waiting.desk.vote(waiting.audit, RECORD, name, "ann", approve=approve))["id"] == name
    assert (await waiting.work).code == code
    closed = waiting.audit.records[-1]["review"]
    assert closed["outcome"] == ("approved" if approve else "denied")


async def test_a_vote_that_cannot_be_recorded_does_not_count() -> None:
    waiting = Waiting()
    await waiting.vote("ann")
    waiting.audit.fail_from = len(waiting.audit.records)
    with pytest.raises(GatewayError):
        await waiting.vote("bob")
    assert not waiting.work.done()
    await waiting.end()


async def test_reviewers_see_the_text_but_for_what_must_not_be_kept() -> None:
    cut = Redaction(PART.path, 9, 12, "[x]", "r", before_audit=True)
    waiting = Waiting(replace(DECISION, redactions=(cut,)))
    shown = waiting.desk.held(await waiting.id()).shown()
    assert shown["parts"] == [{"part": PART.path, "scope": "user", "text": "pay ACME [x]"}]
    assert "parts" not in waiting.desk.rows()[0]
    assert "ACME" not in repr(waiting.desk.held(await waiting.id()))
    await waiting.end()


def test_the_policy_above_comes_to_this_decision() -> None:
    decision = decide(POLICY, [], Facts((PART,), "bank", "branch", "m"))
    assert decision.code == "guard_unavailable", "a note hangs on a verdict as well"
