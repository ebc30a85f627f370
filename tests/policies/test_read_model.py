"""Options of a detector with a model: refused where the guard would, and equal in meaning is equal in digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.profiles.configured import configured
from guards.profiles.known import PROFILES
from policies.errors import PolicyErrors
from policies.load import parse_policy
from policies.model import Policy
from policies.read_model import option_keys
from policies.vocabulary import KNOWN_GUARDS, GuardFacts, facts_of

POLICY = """\
gatehouse: policy/v1
name: p
version: 1.0.0
owner: o
detectors:
  d: {DETECTOR}
rules:
  - {id: r, on: [user], when: {d: CONDITION}, do: {block: {code: x}}}
  - {id: pass, on: [output], do: allow}
"""
HOUSE = configured("label_classifier", "house", {"labels": ["a", "b"], "flagged": ["b"], "categories": ["b"]})
SERVICE = configured("moderation_api", "service", {"categories": ["hate", "self-harm"]})
CAUSAL = configured("causal_guard", "ours", {"names": {"X1": "one", "X2": "two"}, "codes": "\n"})
KNOWN: Mapping[str, GuardFacts] = {
    **KNOWN_GUARDS, "house": facts_of(HOUSE.profile), "ours": facts_of(CAUSAL.profile, CAUSAL.options),
    "service": facts_of(SERVICE.profile),
}  # fmt: skip


def policy(detector: str, condition: str = "{unsafe: true}", known: Mapping[str, GuardFacts] = KNOWN) -> Policy:
    text = POLICY.replace("{DETECTOR}", f"{{{detector}, threshold: 0.5}}").replace("CONDITION", condition)
    return parse_policy(text.encode(), "p", known)


def problems(detector: str, condition: str = "{unsafe: true}") -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        policy(detector, condition)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("detector", "options"),
    [
        ("use: prompt_guard_2_86m, views: [decoded, raw]", {"views": ("raw", "decoded")}),
        ("use: prompt_guard_2_86m, length_aware: on, overlap: 100", {"length_aware": True, "overlap": 100}),
        ("use: prompt_guard_2_86m, memory: off, max_windows: 8", {"memory": False, "max_windows": 8}),
        ("use: house, memory: true", {}),
        ("use: llama_guard_4, memory: off, mode: generate", {"memory": False, "mode": "generate"}),
        ("use: service, memory: off", {"memory": False}),
        ("use: llama_guard_4, exclude: [S13, S2]", {"exclude": ("S13", "S2")}),
        ("use: llama_guard_4, custom: {C1: ours}, max_windows: 2", {"max_windows": 2, "custom": {"C1": "ours"}}),
        ("use: shieldgemma, custom: {H: a guideline}", {"custom": {"H": "a guideline"}}),
    ],
)  # fmt: skip
def test_options_reach_the_guard(detector: str, options: dict[str, object]) -> None:
    assert policy(detector).detectors["d"].options == MappingProxyType(options)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("use: prompt_guard_2_86m", "use: prompt_guard_2_86m, memory: on, length_aware: false, overlap: 96"),
        ("use: prompt_guard_2_86m, views: [raw, leet]", "use: prompt_guard_2_86m, views: [leet, raw]"),
        ("use: llama_guard_1, categories: [O1, O2, O3, O4, O5]", "use: llama_guard_1, exclude: [O6]"),
        ("use: llama_guard_2, exclude: [S1, S2]", "use: llama_guard_2, exclude: [S2, S1]"),
        ("use: llama_guard_4, custom: {C1: x, C2: y}, exclude: [C2]", "use: llama_guard_4, custom: {C1: x}"),
    ],
)  # fmt: skip
def test_equal_meaning_is_one_policy(one: str, other: str) -> None:
    assert policy(one).digest == policy(other).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("use: prompt_guard_2_86m", "use: prompt_guard_2_86m, memory: off"),
        ("use: llama_guard_4", "use: llama_guard_4, exclude: [S14]"),
        ("use: llama_guard_4, custom: {C1: x, C2: y}", "use: llama_guard_4, custom: {C2: y, C1: x}"),
        ("use: llama_guard_4, custom: {C1: x}", "use: llama_guard_4, custom: {C1: z}"),
    ],
)
def test_another_meaning_is_another_policy(one: str, other: str) -> None:
    assert policy(one).digest != policy(other).digest


def test_a_name_with_another_profile_behind_it_is_another_policy() -> None:
    """The bytes are equal, what the codes mean is not."""
    other = configured("label_classifier", "house", {"labels": ["a", "b", "c"], "flagged": ["b"], "categories": ["c"]})
    assert policy("use: house").digest == policy("use: house").digest
    assert policy("use: house").digest != policy("use: house", known={"house": facts_of(other.profile)}).digest


@pytest.mark.parametrize(
    ("detector", "problem"),
    [
        ("use: prompt_guard_2_86m, views: [rawr]", "p:6:32: `views`: `rawr` is not one of"),
        ("use: prompt_guard_2_86m, overlap: 510", "`overlap`: is 510, expected less than the 510 tokens of a window"),
        ("use: prompt_guard_2_86m, max_windows: 0", "`max_windows`: expected a whole number"),
        ("use: prompt_guard_2_86m, exclude: [S1]", "unknown key `exclude` in detector `d`"),
        ("use: prompt_guard_2_86m, memory: sometimes", "`memory`: expected `on` or `off`"),
        ("use: llama_guard_4, view: [raw]", "unknown key `view`"),
        ("use: llama_guard_2, exclude: [S14]", "`exclude`: there is no category `S14` in this model"),
        ("use: llama_guard_4, custom: {S1: mine}", "`custom`: `S1` is a category of the model already"),
        ("use: shieldgemma", "`custom`: missing"),
        ("use: prompt_guard_3", "which neither ships nor stands under `guards:` of the configuration (did you mean"),
        ("use: mine", "(a guard of your own is known with `--config gatehouse.yaml`)"),
    ],
)
def test_a_wrong_option_is_a_problem_at_its_place(detector: str, problem: str) -> None:
    found = problems(detector)
    assert any(problem in said for said in found), found


def test_rules_are_checked_against_the_taxonomy_that_is_left() -> None:
    """S14 is a code of Llama Guard 4 and none of Llama Guard 2; what was excluded can never match."""
    policy("use: llama_guard_4", "{category: [S14]}")
    assert any("`S14`" in said for said in problems("use: llama_guard_2", "{category: [S14]}"))
    assert any("`S14`" in said for said in problems("use: llama_guard_4, exclude: [S14]", "{category: [S14]}"))
    policy("use: llama_guard_4, custom: {C1: ours}", "{category: [C1]}")
    policy("use: ours, categories: {X2: 0.1}", "{category: [X2]}")
    policy("use: service", "{category: [self-harm]}")
    assert any("`S1`" in said for said in problems("use: house", "{category: [S1]}"))


@pytest.mark.parametrize("use", PROFILES)
def test_every_profile_has_options_of_its_own_kind(use: str) -> None:
    assert "memory" in option_keys(KNOWN_GUARDS[use]) or "max_windows" in option_keys(KNOWN_GUARDS[use])
    assert option_keys(KNOWN_GUARDS["secrets"]) == ()


SCALARS = st.none() | st.booleans() | st.integers(-3, 200) | st.floats(0, 1) | st.sampled_from(["", "raw", "on", "S1"])
KEYS = st.sampled_from(["C1", "S1", "O1", "?"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=4
)
OPTIONS = sorted({"categories", *(key for guard in KNOWN.values() for key in option_keys(guard))})


@given(use=st.sampled_from(sorted(KNOWN)), options=st.dictionaries(st.sampled_from(OPTIONS), VALUES, max_size=5))
@settings(max_examples=300, deadline=None)
def test_whatever_a_detector_says_it_is_read_or_refused_and_never_a_crash(use: str, options: dict[str, object]) -> None:
    written = ", ".join(f"{key}: {json.dumps(value)}" for key, value in options.items())
    try:
        loaded = policy(f"use: {use}, {written}" if written else f"use: {use}")
    except PolicyErrors:
        return
    assert loaded.digest == policy(f"use: {use}, {written}" if written else f"use: {use}").digest
