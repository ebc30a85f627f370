"""Each small mistake is one, is told at its place, and makes another policy of it; none is invented where none fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.compiled import digest_of
from policies.load import load_policy
from policies.mutants import mutants
from policies.start import LIBRARY
from tests.policies.build import policy_of

RULES = """
- {id: many, on: [user, output], when: {any: [{inject: {score: {gte: 0.5}}}, {harm: {category: [S1, S9]}}]},
   unless: {tenant: [a, b]}, do: {block: {code: x}, flag: {queue: q}}}
- {id: cut, on: [output], when: {creds: {count: {gte: 2}}}, do: {redact: {as: x, before_audit: true}}}
- {id: trial, mode: shadow, on: [user], when: {hidden: {count: {gte: 1}}}, do: flag}
- {id: pass, on: [user, output, system], do: allow}
"""


def told(rules: str = RULES) -> list[str]:
    return [f"{one.rule} {one.key}: {one.told}" for one in mutants(policy_of(rules)) if one.rule != "watch"]


def test_the_mistakes_of_a_policy_in_full() -> None:
    assert told() == [
        "cut id: taken away",
        "cut when: `creds count >= 2` moved to 3",
        "cut when: `creds count >= 2` moved to 1",
        "cut do: only flags",
        "cut do: blocks",
        "cut do: without `before_audit`",
        "many id: taken away",
        "many on: does not look at `output`",
        "many on: does not look at `user`",
        "many unless: without `unless`",
        "many unless: `tenant is a or b` without `a`",
        "many unless: `tenant is a or b` without `b`",
        "many when: without `harm category S1 >= 0.5 or S9 >= 0.2`",
        "many when: `harm category S1 >= 0.5 or S9 >= 0.2` without `S1`",
        "many when: `harm category S1 >= 0.5 or S9 >= 0.2` without `S9`",
        "many when: without `inject score >= 0.5`",
        "many when: `inject score >= 0.5` moved to 0.45",
        "many when: `inject score >= 0.5` moved to 0.55",
        "many do: only flags",
        "many do: without its flag",
        "pass id: taken away",
        "pass on: does not look at `system`",
        "pass on: does not look at `user`",
        "trial id: taken away",
        "trial mode: acts and is no trial",
        "trial when: `hidden count >= 1` moved to 2",
        "trial do: only annotates",
        "trial do: blocks",
    ]


@pytest.mark.parametrize("file", sorted(LIBRARY.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_mistake_is_another_policy(file: Path) -> None:
    policy = load_policy(file)
    digests = [digest_of(one.policy) for one in mutants(policy)]
    assert policy.digest not in digests
    assert len(digests) > len(policy.rules)
