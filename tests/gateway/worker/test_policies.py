"""A worker's policies are its lead's, byte by byte and meaning by meaning; a trial counts wherever it decides."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from gateway.entries import Exchange
from gateway.exchange import Caller
from gateway.policy_source import BundleSource
from gateway.trial import By, Terms, Trial
from gateway.worker.policies import Policies
from gateway.worker.shelf import key_of
from guards.verdict import Context, Part, Scope
from policies.model import Action
from tests.doubles import eventually
from tests.gateway.worker.led import ANN, House, Worker, house, working

BAD = [Part(Scope.USER, "/messages/0/content", "user", "BAD words")]


class Source:
    """Of a trial; there is no bundle here."""

    def on_trial(self, _found: object) -> None: ...

    def off_trial(self, *, is_withdrawn: bool = False) -> None: ...


async def on_trial(made: House, terms: Terms) -> Trial:
    """A candidate that blocks nothing of what the policy in force blocks as `bad`."""
    made.write("2.0.0")
    path = made.directory / "policy.yaml"
    path.write_text(path.read_text().replace("bad: {count: {gte: 1}}", "bad: {count: {gte: 9}}"))
    found = made.policy._source.again(made.policy._builder.known, made.policy.current().policy)
    built = made.policy._builder.built(found)
    await made.place.offer(found)
    trials = made.policy._trials
    trial = Trial(found, built, made.policy.current().policy, terms, ("clinic",), trials.withdraw)
    await trials.begin(cast(BundleSource, Source()), trial)
    return trial


async def decided(worker: Worker, name: str, caller: Caller = ANN) -> Action:
    visit = await worker.door.enter(caller, name)
    in_force = visit.in_force()
    exchange = Exchange(name, caller, "/v1", "engine", in_force.policy)
    _, decision = await in_force.judge(BAD, exchange, "m", Context.of(BAD, caller.tenant))
    visit.leave()
    return decision.action


async def test_a_trial_counts_over_all_workers(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 1) as one, working(made, 2) as two:
        assert await decided(one, "a") is Action.BLOCK
        trial = await on_trial(made, Terms(1_000_000, max_flips_ppm=1_000_000))
        for number in range(6):
            assert await decided((one, two)[number % 2], f"x{number}") is Action.ALLOW
        assert await decided(one, "other", Caller("k2", "bank", "desk")) is Action.BLOCK, "not drawn"
        await eventually(lambda: trial.counts.exchanges == 6)
        assert (trial.counts.flips, dict(trial.counts.flipped)) == (6, {("block bad", "allow"): 6})


async def test_a_bound_that_is_exceeded_over_all_workers_ends_the_trial_in_all_of_them(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 1) as one, working(made, 2) as two:
        await on_trial(made, Terms(1_000_000, max_flips_ppm=10_000))
        for number in range(60):
            await decided((one, two)[number % 2], f"x{number}")
        await eventually(lambda: made.policy.trial is None)
        assert [await decided(worker, "after") for worker in (one, two)] == [Action.BLOCK, Action.BLOCK]
        await eventually(lambda: made.types()[-1] == "policy.rollback")
        assert made.log.records[-1]["trial"]["exchanges"] >= 50


async def test_a_share_of_exchanges_is_drawn_over_all_workers(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 1) as one, working(made, 2) as two:
        await on_trial(made, Terms(500_000, By.EXCHANGE, max_flips_ppm=1_000_000))
        seen = [await decided((one, two)[number % 2], f"x{number}") for number in range(80)]
        assert 15 < seen.count(Action.ALLOW) < 65


async def test_nothing_is_built_before_the_lead_has_said_how(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        await Policies().take({"key": "k", "needed": [], "files": {}})


async def test_memories_shown_are_those_of_everybodys_policy(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        assert worker.policies.memory_counts() == {}
        await worker.door.enter(ANN, "a")
        assert worker.policies.everybodys == key_of(made.policy.current().policy)
