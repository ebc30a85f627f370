"""A policy on top of another one is that one, and stricter; milder only where the other says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from guards.verdict import Scope
from policies.decide import decide
from policies.errors import PolicyErrors
from policies.load import load_policy
from policies.model import Action, Policy
from tests.policies.build import facts, part, says

BASE = """
gatehouse: policy/v1
name: baseline
version: "1"
may_relax: [harm, image]
defaults: {limits: {n: 2, tools: 8}, stream: {mode: buffer}}
claims: [ward]
templates: {sorry: Sorry.}
detectors:
  harm: {use: starter_hazard, threshold: 0.5}
  inject: {use: starter_injection, threshold: 0.5}
rules:
  - {id: harm, on: [user, output], when: {harm: {unsafe: true}}, do: {block: {code: unsafe}}}
  - {id: attack, on: [user], when: {inject: {unsafe: true}}, do: {block: {code: prompt_attack}}}
  - {id: late, on: [user], when: {ward: north}, do: {replace_response: {template: sorry}}}
  - {id: pass, on: [user, output], do: allow}
"""
OWN = """
gatehouse: policy/v1
name: clinic
version: "2"
extends: [baseline@%s]
"""


def digest_in(folder: Path, name: str = "baseline") -> str:
    return load_policy(folder / f"{name}.yaml").digest


def clinic(folder: Path, more: str = "", base: str = BASE) -> Policy:
    (folder / "baseline.yaml").write_text(base)
    (folder / "clinic.yaml").write_text(OWN % digest_in(folder) + more)
    return load_policy(folder / "clinic.yaml")


def problems(folder: Path, more: str, base: str = BASE) -> list[str]:
    with pytest.raises(PolicyErrors) as error:
        clinic(folder, more, base)
    return [str(problem).removeprefix(str(folder) + "/") for problem in error.value.problems]


def test_what_the_parent_says_holds(tmp_path: Path) -> None:
    policy = clinic(tmp_path)
    assert [rule.id for rule in policy.rules] == ["attack", "harm", "late", "pass"]
    assert (policy.limits.n, policy.limits.tools, policy.claims) == (2, 8, ("ward",))
    assert (policy.name, policy.version, policy.may_relax) == ("clinic", "2", frozenset())


def test_it_may_add_and_tighten(tmp_path: Path) -> None:
    policy = clinic(
        tmp_path,
        "defaults: {limits: {n: 1}}\n"
        "detectors: {harm: {use: starter_hazard, threshold: 0.4}}\n"
        "rules:\n  - {id: ward, on: [user], when: {ward: south}, do: {block: {code: closed}}}\n",
    )
    assert (policy.limits.n, policy.limits.tools) == (1, 8)
    assert policy.detectors["harm"].threshold_ppm == 400_000
    assert "ward" in {rule.id for rule in policy.rules}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "detectors: {harm: {use: starter_hazard, threshold: 0.6}}\n",
            "weaker than `baseline`: detector `harm` threshold: 0.5 -> 0.6",
        ),
        ("defaults: {limits: {n: 3}}\n", "weaker than `baseline`: limit `n` limit: 2 -> 3"),
        (
            "defaults: {stream: {mode: window, window: 8 tokens}}\n",
            "weaker than `baseline`: stream `mode` mode: buffer -> window",
        ),
        (
            "rules:\n  - {id: attack, on: [user], when: {inject: {score: {gte: 0.9}}}, do: {block: {code: x}}}\n",
            "weaker than `baseline`: rule `attack` condition: inject score >= 0.5 -> inject score >= 0.9",
        ),
        (
            "rules:\n  - {id: attack, mode: off, until: 2030-01-01, on: [user], when: {inject: {unsafe: true}}, "
            "do: {block: {code: prompt_attack}}}\n",
            "weaker than `baseline`: rule `attack` mode: enforce -> off until 2030-01-01",
        ),
        (
            "rules:\n  - {id: lab, on: [user], when: {app: lab}, relaxes: attack, do: allow}\n",
            "weaker than `baseline`: rule `lab` relaxes: attack",
        ),
        (
            "rules:\n  - {id: system, on: [system], do: allow}\n",
            "weaker than `baseline`: scope `system` covered: no rule, refused -> always",
        ),
        ("may_relax: [attack]\n", "`may_relax` names `attack`, which `baseline` does not let be relaxed"),
    ],
)
def test_whatever_is_milder_is_a_problem_where_the_parent_is_named(tmp_path: Path, more: str, problem: str) -> None:
    [found] = problems(tmp_path, more)
    assert found.startswith("clinic.yaml:5:11: " + problem)


def test_an_exception_that_the_parent_permits(tmp_path: Path) -> None:
    policy = clinic(
        tmp_path,
        "rules:\n"
        "  - {id: care, on: [user], when: {harm: {only: [S11]}}, relaxes: harm, "
        "do: {replace_response: {template: sorry}}}\n"
        "  - {id: picture, on: [image], do: allow}\n",
    )
    ask, answer = part("words"), part("words", Scope.OUTPUT, "/choices/0/message/content")
    sad = [says(name, ask, 900_000 if name == "harm" else 0, {"S11": 900_000}) for name in ("harm", "inject")]
    decision = decide(policy, sad, facts(ask))
    assert (decision.action, decision.rules, decision.template) == (Action.REPLACE, ("care",), "sorry")
    worse = [says("harm", ask, 900_000, {"S11": 900_000, "S9": 900_000}), says("inject", ask)]
    assert decide(policy, worse, facts(ask)).code == "unsafe"
    out = decide(policy, [says("harm", answer, 900_000, {"S11": 900_000})], facts(answer))
    assert out.code == "unsafe", "the exception is for `user`"
    assert decide(policy, [says("inject", ask)], facts(ask)).code == "guard_unavailable"


def test_the_parent_is_the_one_that_is_pinned(tmp_path: Path) -> None:
    clinic(tmp_path)
    (tmp_path / "baseline.yaml").write_text(BASE.replace("0.5", "0.4"))
    with pytest.raises(PolicyErrors) as error:
        load_policy(tmp_path / "clinic.yaml")
    [problem] = error.value.problems
    assert problem.problem == "parent `baseline` is not the one that is pinned"
    assert problem.hint == f"it is `baseline@{digest_in(tmp_path)}`"


@pytest.mark.parametrize(
    ("base", "problem"),
    [
        (None, "parent `baseline` cannot be read: no such file or directory"),
        ("gatehouse: policy/v1\n", "parent `baseline` has 3 problems, the first in line 1"),
        ("[]", "parent `baseline` has 1 problems, the first in line 1"),
    ],
)
def test_a_parent_that_does_not_load(tmp_path: Path, base: str | None, problem: str) -> None:
    if base is not None:
        (tmp_path / "baseline.yaml").write_text(base)
    (tmp_path / "clinic.yaml").write_text(OWN % ("sha256:" + "0" * 64))
    with pytest.raises(PolicyErrors) as error:
        load_policy(tmp_path / "clinic.yaml")
    assert problem in [found.problem for found in error.value.problems]


def test_a_policy_that_extends_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "baseline.yaml").write_text(OWN.replace("clinic", "baseline") % ("sha256:" + "0" * 64))
    with pytest.raises(PolicyErrors):
        load_policy(tmp_path / "baseline.yaml")


def test_two_levels_and_two_parents(tmp_path: Path) -> None:
    clinic(tmp_path, "may_relax: [harm]\n")
    (tmp_path / "privacy.yaml").write_text(BASE.replace("name: baseline", "name: privacy"))
    pins = [f"clinic@{digest_in(tmp_path, 'clinic')}", f"privacy@{digest_in(tmp_path, 'privacy')}"]
    ward = OWN.replace("clinic", "ward").replace("[baseline@%s]", f"[{', '.join(pins)}]")
    (tmp_path / "ward.yaml").write_text(ward + "\n")
    assert {rule.id for rule in load_policy(tmp_path / "ward.yaml").rules} == {"attack", "harm", "late", "pass"}
    (tmp_path / "privacy.yaml").write_text(BASE.replace("name: baseline", "name: privacy").replace("0.5", "0.3"))
    other = ward.replace(pins[1], f"privacy@{digest_in(tmp_path, 'privacy')}")
    (tmp_path / "ward.yaml").write_text(other + "\n")
    with pytest.raises(PolicyErrors) as error:
        load_policy(tmp_path / "ward.yaml")
    assert any("two parents say `harm` differently" in problem.problem for problem in error.value.problems)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("extends: [baseline]\n", "item of `extends` is `baseline`, expected `NAME@sha256:` and 64 hex digits"),
        ("extends: []\n", "`extends` is an empty list, expected at least 1 in it"),
        ("extends: baseline\n", "`extends` is `baseline`, expected a list"),
    ],
)
def test_a_parent_that_is_not_pinned_is_refused(tmp_path: Path, more: str, problem: str) -> None:
    (tmp_path / "p.yaml").write_text(BASE + more)
    with pytest.raises(PolicyErrors) as error:
        load_policy(tmp_path / "p.yaml")
    assert any(found.problem.startswith(problem) for found in error.value.problems)


def test_a_policy_may_close_what_its_parent_had_open(tmp_path: Path) -> None:
    risk = "accept_risk: {by: ciso, ticket: R-1, until: 2026-12-31}"
    base = BASE.replace("defaults: {", f"defaults: {{on_error: open, uncovered: allow, {risk}, ")
    closed = clinic(tmp_path, "defaults: {on_error: closed, uncovered: deny}\n", base)
    assert (closed.on_error, closed.risk, closed.uncovered) == ("closed", None, None)
    half = clinic(tmp_path, "defaults: {on_error: review}\n", base)
    assert (half.on_error, half.risk) == ("review", None)
    assert half.uncovered is not None
    assert "weaker than `baseline`: policy `uncovered`" in str(
        problems(tmp_path, f"defaults: {{uncovered: allow, {risk}}}\n")
    )
