"""`eval:` says which rule finds how much of which corpus; whatever else stands there is a problem at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.evals import MOST, Eval
from policies.lint import lint
from policies.load import parse_policy
from policies.pinned import Pin
from tests.policies.build import document, policy_of, problems_in

RULES = "- {id: attack, on: [user], when: {inject: {unsafe: true}}, do: flag}"
ZERO = "0" * 64
PIN = f"corpus: c.jsonl@sha256:{ZERO}"


def text_with(entries: str) -> str:
    return document(RULES) + f"eval: {entries}\n"


def test_an_entry_is_read_whole_and_changes_no_digest() -> None:
    text = text_with(f"[{{{PIN}, rule: attack, min_recall: 0.95, max_fpr: 0, app: a, desk: d}}]")
    policy = parse_policy(text.encode(), "p.yaml")
    (entry,) = policy.evals
    meant = (Pin("c.jsonl", ZERO), "attack", 950_000, 0)
    assert entry == Eval(entry.place, *meant, tenant="test", app="a", claims=(("desk", "d"),))
    assert policy.digest == policy_of(RULES).digest


def test_one_bound_is_enough() -> None:
    (entry,) = parse_policy(text_with(f"[{{{PIN}, rule: attack, max_fpr: 0.5}}]").encode(), "p").evals
    assert (entry.least_recall_ppm, entry.most_fpr_ppm) == (None, 500_000)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ("7", "`eval` has to be a list"),
        (f"[{', '.join(['{}'] * (MOST + 1))}]", f"at most {MOST} corpora"),
        (f"[{{{PIN}, rule: attack}}]", "has no bound (give `min_recall`, `max_fpr`, or both)"),
        (f"[{{{PIN}, rule: atack, max_fpr: 0}}]", "`rule` is `atack`, expected one of"),
        (f"[{{{PIN}, rule: attack, max_fpr: 1.5}}]", "`max_fpr` is `1.5`, expected a number 0 to 1"),
        (f"[{{{PIN}, rule: attack, min_recal: 1}}]", "unknown key `min_recal` in an entry of `eval`"),
        ("[{corpus: c.jsonl, rule: attack, max_fpr: 0}]", "expected `FILE@sha256:` and 64 hex digits"),
        (f"[{{corpus: ../c@sha256:{ZERO}, rule: attack, max_fpr: 0}}]", "expected a file in the policy's folder"),
        ("[{rule: attack, max_fpr: 0}]", "has no `corpus`"),
        (f"[{{{PIN}, max_fpr: 0}}]", "has no `rule`"),
    ],
)
def test_a_mistake_is_a_problem_in_its_line(entries: str, problem: str) -> None:
    text = text_with(entries)
    told = problems_in(text)
    assert any(problem in one and one.startswith(f"{len(text.splitlines())}:") for one in told), told


def test_a_corpus_that_is_away_is_for_lint_and_no_reason_not_to_load(tmp_path: Path) -> None:
    text = text_with(f"[{{{PIN}, rule: attack, max_fpr: 0}}]").encode()
    (found,) = [one for one in lint(text, str(tmp_path / "p.yaml")) if one.code == "corpus-changed"]
    assert "corpus `c.jsonl`: the file cannot be read: No such file" in found.problem
