"""What detectors look for, and the thresholds at which rules hear of it."""

from __future__ import annotations

import pytest

from policies.changes import Change, Effect
from policies.diff_detectors import diff_detectors
from policies.model import Policy
from tests.policies.build import policy_of

RULES = "- {id: own, on: [user], when: {d: %s}, do: {block: {code: x}}}"


def changes(before: str, after: str, when: str) -> list[Change]:
    was, now = (policy_of(RULES % when, detectors=f"d: {{{text}}}", watch=False) for text in (before, after))
    return diff_detectors(was.detectors, now.detectors, list(zip(was.rules, now.rules, strict=True)))


def effects(before: str, after: str, when: str) -> list[tuple[str, Effect]]:
    return [(one.aspect, one.effect) for one in changes(before, after, when)]


CLASSIFIER = "use: prompt_guard_2_86m, threshold: 0.5"
GENERATIVE = "use: llama_guard_4, threshold: 0.5"
UNSAFE, COUNT = "{unsafe: true}", "{count: {gte: 1}}"


@pytest.mark.parametrize(
    ("before", "after", "when", "expected"),
    [
        ("use: unicode, find: [tags, bidi]", "use: unicode, find: [tags]", COUNT, ("find lost", Effect.WEAKER)),
        (f"{CLASSIFIER}, views: [raw]", CLASSIFIER, UNSAFE, ("views gained", Effect.STRONGER)),
        (
            "use: regex, pattern: abc",
            "use: regex, pattern: abc, views: [raw, leet]",
            COUNT,
            ("views gained", Effect.STRONGER),
        ),
        (CLASSIFIER, f"{CLASSIFIER}, length_aware: on", UNSAFE, ("length_aware", Effect.WEAKER)),
        (
            f"{CLASSIFIER}, overlap: 10",
            f"{CLASSIFIER}, overlap: 20",
            UNSAFE,
            ("overlap", Effect.STRONGER),
        ),
        (f"{CLASSIFIER}, max_windows: 9", f"{CLASSIFIER}, max_windows: 10", UNSAFE, ("max_windows", Effect.WEAKER)),
        (GENERATIVE, f"{GENERATIVE}, exclude: [S6]", UNSAFE, ("exclude gained", Effect.WEAKER)),
    ],
)
def test_looking_for_more_is_stronger(before: str, after: str, when: str, expected: tuple[str, Effect]) -> None:
    assert effects(before, after, when) == [expected]
    ((aspect, effect),) = effects(after, before, when)
    assert effect is expected[1].turned
    assert aspect.split()[0] == expected[0].split()[0]


@pytest.mark.parametrize(
    ("before", "after", "when"),
    [
        ("use: regex, pattern: abc", "use: regex, pattern: abd", COUNT),
        (CLASSIFIER, "use: prompt_guard_2_22m, threshold: 0.5", UNSAFE),
        (CLASSIFIER, f"{CLASSIFIER}, overlap: 5", UNSAFE),
        (f'{GENERATIVE}, custom: {{C1: "One. A."}}', f'{GENERATIVE}, custom: {{C1: "One. B."}}', UNSAFE),
    ],
)
def test_what_cannot_be_compared_is_weaker_both_ways(before: str, after: str, when: str) -> None:
    assert [effect for _, effect in effects(before, after, when)] == [Effect.WEAKER]
    assert [effect for _, effect in effects(after, before, when)] == [Effect.WEAKER]


def test_a_timeout_and_the_memory_are_no_question_of_strength() -> None:
    after = f"{CLASSIFIER}, timeout: 3s, memory: off"
    assert effects(CLASSIFIER, after, UNSAFE) == [("memory", Effect.OTHER), ("timeout", Effect.OTHER)]


def threshold(when: str) -> Change:
    (change,) = changes("use: starter_hazard, threshold: 0.5", "use: starter_hazard, threshold: 0.6", when)
    return change


def test_a_threshold_goes_the_way_of_the_rules_that_ask_for_it() -> None:
    assert threshold(UNSAFE).effect is Effect.WEAKER
    assert threshold(UNSAFE).rules == ("own",)
    assert threshold("{category: [S1]}").effect is Effect.WEAKER
    assert threshold("{unsafe: false}").effect is Effect.STRONGER
    unasked = threshold("{score: {gte: 0.3}}")
    assert (unasked.effect, unasked.rules) == (Effect.OTHER, ())


def test_a_detector_comes_and_goes_without_an_effect_of_its_own() -> None:
    one: Policy = policy_of(RULES % UNSAFE, detectors=f"d: {{{CLASSIFIER}}}", watch=False)
    assert [(c.aspect, c.effect) for c in diff_detectors({}, one.detectors, ())] == [("added", Effect.OTHER)]
    assert [(c.aspect, c.effect) for c in diff_detectors(one.detectors, {}, ())] == [("removed", Effect.OTHER)]
