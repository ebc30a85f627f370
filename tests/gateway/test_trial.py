"""A candidate decides the share that was asked for, and what it would have cost to keep the old one is counted once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.entries import Exchange
from gateway.exchange import Caller
from gateway.policy_source import Found
from gateway.steps import InForce
from gateway.trial import LEAST, By, Comparison, End, Terms, Trial
from guards.errors import ErrorKind
from guards.panel import Panel
from guards.verdict import PPM, Finding, Part, Scope, Verdict
from policies.decide import decide
from policies.load import parse_policy
from policies.model import Action, Facts, Policy

TEXT = """
gatehouse: policy/v1
name: NAME
version: "1"
detectors: {inject: {use: starter_injection, threshold: THRESHOLD}}
rules:
  - {id: inject, on: [user], when: {inject: {unsafe: true}}, do: {block: {code: CODE}}}
  - {id: pass, on: [user, output], do: allow}
"""
EXCHANGE = "0190b0a0-0000-7000-8000-000000000001"


def made(name: str, threshold: str = "0.5", *, code: str = "attack", asked: str = "") -> Policy:
    text = TEXT.replace("NAME", name).replace("THRESHOLD", threshold).replace("CODE", code)
    return parse_policy(text.replace("starter_injection,", f"starter_injection, {asked}").encode(), "p.yaml")


STABLE, LOOSER = made("stable"), made("looser", "0.9")


def caller(tenant: str = "t") -> Caller:
    return Caller("k", tenant, "a")


class Bench:
    """A trial, and exchanges that it decides."""

    def __init__(self, candidate: Policy = LOOSER, stable: Policy = STABLE, **terms: float) -> None:
        self.ends: list[End] = []
        asked = Terms(PPM, By.EXCHANGE, **terms)  # type: ignore[arg-type] # ppm are whole
        pair = InForce(candidate, Panel({}), {})
        found = Found(candidate, b"")
        self.trial = Trial(found, pair, stable, asked, ["t"], lambda _, end: self.ends.append(end))
        self.counts = self.trial.counts

    def exchange(self, *scores: int | ErrorKind, scope: Scope = Scope.USER) -> list[Action]:
        """One exchange with a decision for each of these scores."""
        pair, actions = self.trial.pair(), []
        about = Exchange("id", caller(), "/", "engine", pair.policy)
        for number, score in enumerate(scores):
            part = Part(scope, f"/messages/{number}/content", "user", "text")
            actions.append(pair.decide(found(part, score), [part], about, "m").action)
        return actions


def found(part: Part, score: int | ErrorKind) -> Sequence[Finding]:
    if isinstance(score, ErrorKind):
        return [Finding("inject", part, None, score)]
    return [Finding("inject", part, Verdict(score))]


@given(st.integers(1, 60), st.integers(1, PPM), st.binary(min_size=32, max_size=32))
def test_the_share_of_tenants_is_never_more_than_was_asked_and_never_nobody(number: int, ppm: int, key: bytes) -> None:
    tenants = [f"tenant-{index}" for index in range(number)]
    terms = Terms(ppm)
    try:
        terms.tenants_of(number)
    except ValueError:
        assert number * ppm < PPM
        return
    trial = Trial(Found(LOOSER, b""), InForce(LOOSER, Panel({}), {}), STABLE, terms, tenants, lambda *_: None, key=key)
    drawn = [name for name in tenants if trial.takes(caller(name), EXCHANGE)]
    assert len(drawn) == number * ppm // PPM
    assert drawn == [name for name in tenants if trial.takes(caller(name), "another exchange")], "always the same"
    assert not trial.takes(caller("somebody else"), EXCHANGE)


@settings(max_examples=25)
@given(st.integers(1, 99), st.binary(min_size=32, max_size=32))
def test_the_share_of_exchanges_is_about_what_was_asked(percent: int, key: bytes) -> None:
    terms, total = Terms(percent * 10_000, By.EXCHANGE), 3_000
    trial = Trial(Found(LOOSER, b""), InForce(LOOSER, Panel({}), {}), STABLE, terms, [], lambda *_: None, key=key)
    drawn = sum(trial.takes(caller(), f"exchange-{index}") for index in range(total))
    share = percent / 100
    six_sigma = 6 * (total * share * (1 - share)) ** 0.5
    assert abs(drawn - total * share) <= six_sigma + 1
    assert [trial.takes(caller("a"), str(n)) for n in range(50)] == [
        trial.takes(caller("b"), str(n)) for n in range(50)
    ]


def test_all_is_everybody_and_another_trial_draws_others() -> None:
    whole = Bench().trial
    assert all(whole.takes(caller(), str(number)) for number in range(500))
    tenants = [f"tenant-{index}" for index in range(100)]
    pair, found = InForce(LOOSER, Panel({}), {}), Found(LOOSER, b"")
    draws = set()
    for _ in range(5):
        trial = Trial(found, pair, STABLE, Terms(PPM // 10), tenants, lambda *_: None)
        draws.add(frozenset(name for name in tenants if trial.takes(caller(name), EXCHANGE)))
    assert len(draws) == 5
    assert {len(draw) for draw in draws} == {10}


def test_an_exchange_is_counted_once_with_the_worst_that_was_seen() -> None:
    bench = Bench()
    assert bench.exchange(700_000) == [Action.ALLOW]
    assert bench.exchange(100, 100, 700_000, 700_000) == [Action.ALLOW] * 4
    assert bench.exchange(950_000) == [Action.BLOCK]
    counts = bench.counts
    assert (counts.exchanges, counts.flips, counts.unknown, counts.errors) == (3, 2, 0, 0)
    assert counts.flipped == {("block attack", "allow"): 2}


def test_what_the_stable_policy_would_have_said_is_exactly_what_it_says() -> None:
    for ppm in (0, 499_999, 500_000, 899_999, 900_000, PPM):
        bench = Bench()
        [action] = bench.exchange(ppm)
        part = Part(Scope.USER, "/messages/0/content", "user", "text")
        facts = Exchange("id", caller(), "/", "engine", STABLE).facts([part], "m", None)
        assert bench.counts.flips == (decide(STABLE, found(part, ppm), facts).action is not action)


def test_another_code_is_a_flip_as_in_a_replay() -> None:
    bench = Bench(made("renamed", code="other"))
    assert bench.exchange(950_000) == [Action.BLOCK]
    assert bench.counts.flipped == {("block attack", "block other"): 1}


def test_what_was_asked_otherwise_is_not_known_and_never_a_flip() -> None:
    bench = Bench(made("views", "0.9", asked="views: [raw],"))
    bench.exchange(700_000)
    bench.exchange(700_000, scope=Scope.OUTPUT)
    assert (bench.counts.flips, bench.counts.unknown) == (0, 1), "output is asked nothing by either"


def test_a_candidate_that_asks_more_answers_for_what_the_other_asks() -> None:
    more = parse_policy(
        TEXT.replace("NAME", "more")
        .replace("THRESHOLD", "0.9")
        .replace("CODE", "attack")
        .replace("detectors: {", "detectors: {keys: {use: secrets}, ")
        .replace("rules:", "rules:\n  - {id: k, on: [user], when: {keys: {count: {gte: 1}}}, do: {block: {code: key}}}")
        .encode(),
        "p.yaml",
    )
    asks_more = Bench(more)
    pair = asks_more.trial.pair()
    part = Part(Scope.USER, "/messages/0/content", "user", "text")
    findings = [*found(part, 700_000), Finding("keys", part, Verdict(0))]
    pair.decide(findings, [part], Exchange("id", caller(), "/", "engine", more), "m")
    assert (asks_more.counts.flips, asks_more.counts.unknown) == (1, 0)


def test_a_missing_verdict_is_an_error_of_the_exchange() -> None:
    bench = Bench()
    assert bench.exchange(0, ErrorKind.TIMEOUT, ErrorKind.TIMEOUT) == [Action.ALLOW, Action.BLOCK, Action.BLOCK]
    assert (bench.counts.exchanges, bench.counts.errors, bench.counts.flips) == (1, 1, 0)


def test_a_bound_holds_from_the_fiftieth_exchange_on_and_ends_the_trial_once() -> None:
    bench = Bench()
    for _ in range(LEAST - 1):
        bench.exchange(700_000)
    assert bench.ends == []
    bench.exchange(0)
    assert bench.ends == [End.FLIPS]
    bench.exchange(ErrorKind.TIMEOUT)
    assert bench.ends == [End.FLIPS]
    assert (bench.counts.exchanges, bench.counts.errors) == (LEAST, 0), "nothing is counted after the end"


@pytest.mark.parametrize(("bad", "ends"), [(0, []), (2, []), (3, [End.ERRORS])])
def test_a_bound_is_exceeded_and_not_reached(bad: int, ends: list[End]) -> None:
    bench = Bench(max_errors_ppm=20_000)
    for number in range(100):
        bench.exchange(ErrorKind.TIMEOUT if number >= 100 - bad else 0)
    assert bench.ends == ends


def test_flips_are_a_part_of_what_could_be_compared() -> None:
    bench = Bench(made("views", "0.9", asked="views: [raw],"))
    for _ in range(500):
        bench.exchange(700_000)
    assert bench.ends == []
    assert bench.counts.unknown == 500


@given(st.lists(st.lists(st.sampled_from([0, 700_000, 950_000, ErrorKind.TIMEOUT]), min_size=1, max_size=4)))
def test_the_counts_are_those_of_a_plain_count(exchanges: list[list[int | ErrorKind]]) -> None:
    bench = Bench(max_flips_ppm=PPM, max_errors_ppm=PPM)
    for scores in exchanges:
        bench.exchange(*scores)
    assert bench.counts.exchanges == len(exchanges)
    assert bench.counts.flips == sum(700_000 in scores for scores in exchanges)
    assert bench.counts.errors == sum(ErrorKind.TIMEOUT in scores for scores in exchanges)
    assert bench.counts.flipped.total() == bench.counts.flips


@pytest.mark.parametrize(
    "wrong",
    [
        {"share_ppm": 0},
        {"share_ppm": PPM + 1},
        {"share_ppm": 1, "duration_s": 0},
        {"share_ppm": 1, "duration_s": 31 * 86_400.0},
        {"share_ppm": 1, "max_flips_ppm": -1},
        {"share_ppm": 1, "max_errors_ppm": PPM + 1},
    ],
)
def test_terms_that_mean_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Terms(**wrong)  # type: ignore[arg-type] # numbers by name


def test_each_policy_is_compared_in_its_own_mode() -> None:
    """A candidate that lets streams leave unjudged comes out otherwise than one that stops them."""
    text = """
gatehouse: policy/v1
name: p
version: "1"
defaults: {stream: {mode: %s}}
detectors: {harm: {use: starter_hazard, threshold: 0.5}}
rules: [{id: out, on: [output], when: {harm: {unsafe: true}}, do: {block: {code: x}}}]
"""
    strict, loose = (parse_policy((text % mode).encode(), "p") for mode in ("buffer", "shadow_only"))
    about = Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", "words")
    found = [Finding("harm", about, Verdict(PPM))]
    facts = Facts((about,), "t", "a", "m", released=True)
    assert decide(loose, found, facts).action is Action.ALLOW
    stable = Comparison(loose, strict).compared(found, facts)
    assert stable is not None
    assert stable.action is Action.BLOCK
