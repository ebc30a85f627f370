"""A trial ends as one of: promoted, withdrawn, replaced, or over at a start; whatever fails, the stable one stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.bundles.admission import Approval
from gateway.bundles.store import BundleStore
from gateway.entries import Exchange
from gateway.errors import Conflict, Unavailable
from gateway.exchange import Caller
from gateway.guard_settings import shipped
from gateway.metrics import Metrics
from gateway.policy_builder import PolicyBuilder
from gateway.policy_in_force import PolicyInForce
from gateway.policy_source import BundleSource
from gateway.records import Records
from gateway.steps import InForce
from gateway.trial import LEAST, By, End, Terms
from guards.verdict import NO_CONTEXT, PPM, Part, Scope
from tests.doubles import MemoryLog, eventually
from tests.gateway.bundles.making import APPROVERS, NOW, POLICY
from tests.gateway.test_policy_source import STRICTER, signed

CALLER = Caller("k", "t", "a")
WHO: dict[str, Any] = {"req": "call-1", "actor": {"type": "operator", "sub": "oda"}}
ALL = Terms(PPM, By.EXCHANGE, 600.0)
STABLE, CANDIDATE, THIRD = signed(1), signed(2, STRICTER), signed(3, STRICTER.replace(b"banned", b"barred"))


class Site:
    """A gateway's policy that came in a bundle, and the log."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.now = folder, MemoryLog(), float(NOW)
        self.store = BundleStore(folder / "store")
        (folder / "policy.bundle").write_bytes(STABLE.data())
        self.make()

    def make(self) -> None:
        """As a start does."""
        self.metrics = Metrics()
        records = Records(self.log, self.metrics)  # type: ignore[arg-type] # a double
        approval = Approval(APPROVERS, needed_to_weaken=1)
        source = BundleSource(self.folder / "policy.bundle", self.store, approval, lambda: self.now)
        self.policy = PolicyInForce(
            source, PolicyBuilder(shipped(), {}), records, self.metrics, tenants=["t", "u", "v"]
        )

    async def begin(self, terms: Terms = ALL) -> None:
        await self.policy.try_out(CANDIDATE.data(), terms, WHO)

    def pair(self) -> InForce:
        return self.policy.for_exchange(CALLER, "exchange")

    async def exchange(self, text: str) -> InForce:
        pair, part = self.pair(), Part(Scope.USER, "/messages/0/content", "user", text)
        about = Exchange("id", CALLER, "/", "engine", pair.policy)
        await pair.judge([part], about, "m", NO_CONTEXT)
        return pair

    def is_stable(self) -> bool:
        return self.pair() is self.policy.current() and len(self.pair().policy.rules) == 2

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.log.records if record["type"] == kind]

    def trials(self, outcome: str) -> float:
        return (
            self.metrics.registry.get_sample_value("gatehouse_policy_trials_total", {"outcome": outcome, "binding": ""})
            or 0
        )


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    await site.policy.load_first()
    return site


async def test_without_a_trial_everybody_gets_the_pair_in_force(site: Site) -> None:
    assert site.pair() is site.policy.current()
    assert site.pair().told is None


async def test_a_trial_is_a_record_and_changes_nothing_in_the_store_but_its_mark(site: Site) -> None:
    await site.begin(Terms(PPM // 2, By.TENANT, 60.0, 20_000, 5_000))
    record = site.told("policy.load")[1]
    trial = record["trial"]
    assert (record["bundle"]["counter"], record["actor"]["sub"], trial["state"]) == (2, "oda", "begun")
    assert (trial["by"], trial["share_ppm"], trial["tenants"], trial["tenants_of"]) == ("tenant", PPM // 2, 1, 3)
    assert (trial["max_flips_ppm"], trial["max_errors_ppm"]) == (20_000, 5_000)
    assert trial["in_force"] == site.policy.current().policy.digest
    state = site.store.state()
    assert (state.active, state.highest, state.trial) == (STABLE.digest, 1, CANDIDATE.digest)
    assert site.trials("begun") == 1


async def test_the_time_over_a_candidate_is_in_force_for_all(site: Site) -> None:
    await site.begin(Terms(PPM, By.EXCHANGE, 0.2))
    began = await site.exchange("nothing")
    await eventually(lambda: site.policy.trial is None)
    await eventually(lambda: site.trials("promoted") == 1)
    assert site.pair() is site.policy.current()
    assert (site.pair().policy, site.pair().told) == (began.policy, None)
    promoted = site.told("policy.load")[-1]
    assert (promoted["trial"]["state"], promoted["trial"]["exchanges"], promoted["actor"]["sub"]) == (
        "promoted",
        1,
        "oda",
    )
    state = site.store.state()
    assert (state.active, state.highest, state.trial, state.history) == (CANDIDATE.digest, 2, "", (STABLE.digest,))
    assert site.told("policy.rollback") == []


async def test_a_bound_withdraws_at_once_and_what_began_keeps_what_it_had(site: Site) -> None:
    await site.begin()
    open_exchange = site.pair()
    for _ in range(LEAST - 1):
        assert not site.is_stable()
        await site.exchange("nothing")
    await site.exchange("banned")
    assert site.is_stable(), "without a turn of the event loop"
    assert len(open_exchange.policy.rules) == 3
    await eventually(lambda: bool(site.told("policy.rollback")))
    [record] = site.told("policy.rollback")
    trial = record["trial"]
    assert record["policy"]["compiled_digest"] == site.policy.current().policy.digest
    assert (trial["state"], trial["why"], trial["bundle"]["digest"]) == ("withdrawn", "flips", CANDIDATE.digest)
    assert (trial["exchanges"], trial["flips"], trial["unknown"], trial["errors"]) == (LEAST, 1, 0, 0)
    assert trial["flipped"] == [{"was": "allow", "now": "block words", "n": 1}]
    assert site.trials("flips") == 1
    await eventually(lambda: site.store.state().withdrawn == (CANDIDATE.digest,))
    (site.folder / "policy.bundle").write_bytes(CANDIDATE.data())
    await site.policy.reload()
    assert site.is_stable(), "a file does not bring back what was withdrawn"
    await site.begin()
    assert not site.is_stable(), "somebody does"


async def test_a_candidate_whose_withdrawal_cannot_be_recorded_is_withdrawn(site: Site) -> None:
    await site.begin()
    site.log.fail_from = len(site.log.records)
    for _ in range(LEAST):
        await site.exchange("banned")
    await eventually(lambda: site.store.state().trial == "")
    assert site.is_stable()


async def test_a_trial_that_cannot_be_recorded_does_not_begin(site: Site) -> None:
    site.log.fail_from = len(site.log.records)
    with pytest.raises(Unavailable):
        await site.begin()
    assert site.is_stable()
    assert site.store.state().trial == ""


@pytest.mark.parametrize("why", ["unrecorded", "expired"])
async def test_what_cannot_be_promoted_is_withdrawn(site: Site, why: str) -> None:
    expiring = signed(2, STRICTER, expires_s=NOW + 10)
    await site.policy.try_out(expiring.data(), Terms(PPM, By.EXCHANGE, 0.2), WHO)
    if why == "expired":
        site.now += 10
    else:
        site.log.fail_from = len(site.log.records)
    await eventually(lambda: site.trials(End.REFUSED) == 1)
    await eventually(lambda: site.store.state().trial == "")
    assert site.is_stable()
    assert site.store.state().active == STABLE.digest
    assert [record["trial"]["why"] for record in site.told("policy.rollback")] == ["refused"] * (why == "expired")


async def test_an_operator_ends_it_and_ends_nothing_else(site: Site) -> None:
    assert not await site.policy.end_trial(WHO)
    await site.begin()
    assert await site.policy.end_trial(WHO)
    assert site.is_stable()
    [record] = site.told("policy.rollback")
    assert (record["trial"]["why"], record["actor"]["sub"]) == ("operator", "oda")
    assert site.store.state().withdrawn == (CANDIDATE.digest,)
    assert not await site.policy.end_trial(WHO)


async def test_another_policy_for_all_ends_it_and_the_same_again_does_not(site: Site) -> None:
    await site.begin()
    await site.policy.reload()
    assert site.policy.trial is not None
    assert site.store.state().trial == CANDIDATE.digest
    await site.policy.activate(THIRD.data(), WHO)
    assert site.policy.trial is None
    assert site.pair() is site.policy.current()
    assert [record["trial"]["why"] for record in site.told("policy.rollback")] == ["replaced"]
    state = site.store.state()
    assert (state.active, state.trial, state.withdrawn) == (THIRD.digest, "", ())


async def test_a_start_says_that_a_trial_is_over(site: Site) -> None:
    await site.begin()
    site.make()
    await site.policy.load_first()
    assert site.is_stable()
    assert [record["type"] for record in site.log.records[-2:]] == ["policy.load", "policy.rollback"]
    trial = site.log.records[-1]["trial"]
    assert (trial["why"], trial["bundle"]) == ("restart", {"digest": CANDIDATE.digest})
    assert site.trials("restart") == 1
    site.make()
    await site.policy.load_first()
    assert len(site.told("policy.rollback")) == 1


async def test_what_cannot_be_tried_is_refused_and_recorded(site: Site) -> None:
    async def refused(data: bytes, terms: Terms = ALL) -> str:
        with pytest.raises(Conflict) as error:
            await site.policy.try_out(data, terms, WHO)
        reject = site.told("policy.reject")[-1]
        assert (reject["err"]["code"], reject["actor"]["sub"]) == (error.value.code, "oda")
        return str(error.value.code)

    assert await refused(STABLE.data()) == "trial_pointless"
    assert await refused(CANDIDATE.data(), Terms(PPM // 10)) == "trial_pointless", "a tenth of three tenants is nobody"
    assert await refused(b"half") == "bundle_malformed"
    failing = STRICTER.replace(b"action: block, rule: no-words", b"action: allow")
    assert await refused(signed(2, failing).data()) == "bundle_tests"
    assert site.policy.trial is None
    await site.begin()
    assert await refused(THIRD.data()) == "trial_running"
    assert site.policy.trial is not None


async def test_at_every_moment_an_exchange_has_one_policy_with_its_own_guards(site: Site) -> None:
    """Trials, withdrawals and promotions in quick order, with a reader between all of them."""
    stop, seen = False, set()

    async def reader() -> None:
        while not stop:
            pair = site.pair()
            assert pair.identities.keys() == pair.policy.detectors.keys()
            assert pair.panel is (site.policy.current() if pair.told is None else pair).panel
            seen.add((pair.policy.digest, pair.told is None))
            await asyncio.sleep(0)

    reading = asyncio.create_task(reader())
    for number in range(2, 8):
        policy = (STRICTER, POLICY)[number % 2]
        await site.policy.try_out(signed(number, policy).data(), Terms(PPM, By.EXCHANGE, 0.05), WHO)
        if number in (3, 6):
            await site.policy.end_trial(WHO)
        await eventually(lambda: site.policy.trial is None)
    stop = True
    await reading
    assert len({digest for digest, _ in seen}) == 2
    assert {is_all for _, is_all in seen} == {True, False}
