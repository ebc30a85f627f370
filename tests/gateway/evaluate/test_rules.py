"""A row is flagged when its rule matches it, with the exceptions that others make; nothing is guessed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.rules import Outcome, evaluate_rules, evaluated, needs_models
from policies.load import load_policy
from policies.model import Policy

ROWS = [
    {"text": "number M123456", "label": 1},
    {"text": "number M12", "label": 1},
    {"text": "M999999 is fine in the lab", "label": 0},
    {"text": "hello", "label": 0},
]


def policy_with(folder: Path, rows: list[dict[str, object]], bounds: str, more: str = "") -> Policy:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "c.jsonl").write_bytes(data)
    file = folder / "p.yaml"
    file.write_text(f"""\
gatehouse: policy/v1
name: small
version: "1"
detectors:
  record: {{use: regex, pattern: 'M[0-9]{{6}}', label: record}}
  fine: {{use: terms, words: [fine]}}
  inject: {{use: starter_injection, threshold: 0.5}}
rules:
- {{id: numbers, on: [user], when: {{record: {{count: {{gte: 1}}}}}}, do: {{block: {{code: x, message: y}}}}}}
- {{id: milder, on: [user], when: {{fine: {{count: {{gte: 1}}}}, app: lab}}, relaxes: numbers, do: flag}}
- {{id: model, on: [user], when: {{inject: {{unsafe: true}}}}, do: flag}}
eval:
- {{corpus: c.jsonl@sha256:{hashlib.sha256(data).hexdigest()}, rule: numbers, {bounds}}}
{more}""")
    return load_policy(file)


def outcome_of(policy: Policy) -> Outcome:
    outcomes, _ = evaluated(policy)
    return outcomes[0]


def test_rows_are_counted_by_label_and_bounds_held_against_them(tmp_path: Path) -> None:
    outcome = outcome_of(policy_with(tmp_path, ROWS, "min_recall: 0.5, max_fpr: 0.5"))
    assert (outcome.recall.count, outcome.recall.of, outcome.fpr.count, outcome.fpr.of) == (1, 2, 1, 2)
    assert outcome.problems == ()
    outcome = outcome_of(policy_with(tmp_path, ROWS, "min_recall: 0.500001, max_fpr: 0.499999"))
    assert outcome.problems == (
        "recall is 0.5000 (1 of 2), expected at least 0.500001",
        "false alarms are 0.5000 (1 of 2), expected at most 0.499999",
    )


def test_facts_and_exceptions_count_as_in_an_exchange(tmp_path: Path) -> None:
    outcome = outcome_of(policy_with(tmp_path, ROWS, "max_fpr: 0, app: lab"))
    assert (outcome.fpr.count, outcome.problems) == (0, ())


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"text": "x", "label": 0}], "no row to flag, and a bound for those"),
        (
            [{"text": "sekrit", "label": 1, "role": "assistant"}],
            "is of `output`, at which rule `numbers` does not look",
        ),
        ([{"text": "sekrit", "label": 1, "scope": "reasoning"}], "is of `reasoning`"),
        ([{"text": "sekrit", "label": 1, "scope": "thinking"}], "`scope` is not one of"),
        ([{"text": "sekrit"}], "c.jsonl:1: `label` is missing"),
    ],
)
def test_what_cannot_be_measured_is_said_without_its_text(
    tmp_path: Path, rows: list[dict[str, object]], problem: str
) -> None:
    with pytest.raises(EvaluationError, match=problem) as caught:
        outcome_of(policy_with(tmp_path, rows, "min_recall: 0.5"))
    assert "sekrit" not in str(caught.value)


def test_another_file_than_the_pinned_one_is_not_measured(tmp_path: Path) -> None:
    policy = policy_with(tmp_path, ROWS, "max_fpr: 1")
    (tmp_path / "c.jsonl").write_bytes(b"{}")
    with pytest.raises(EvaluationError, match="not the one that is pinned"):
        outcome_of(policy)


async def test_what_needs_a_model_is_left_out_and_counted(tmp_path: Path) -> None:
    pin = f"{{corpus: c.jsonl@sha256:{'0' * 64}, rule: model, max_fpr: 0}}"
    policy = policy_with(tmp_path, ROWS, "max_fpr: 1", f"- {pin}\n")
    assert [needs_models(policy, entry) for entry in policy.evals] == [False, True]
    assert len(await evaluate_rules(policy, policy.evals[:1], {})) == 1


async def test_a_row_without_a_verdict_is_no_row_that_passes(tmp_path: Path) -> None:
    rows = [*ROWS, {"text": "a", "label": 0}]
    policy = policy_with(tmp_path, rows, "max_fpr: 1")
    file = tmp_path / "p.yaml"
    file.write_text(file.read_text().replace("use: regex, pattern: 'M[0-9]{6}', label: record", "use: repetition"))
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": "x" * (1 << 21), "label": 0}) + "\n")
    digest = hashlib.sha256((tmp_path / "c.jsonl").read_bytes()).hexdigest()
    pinned = policy.evals[0].corpus.sha256
    file.write_text(file.read_text().replace(pinned, digest))
    (outcome,) = await evaluate_rules(load_policy(file), load_policy(file).evals, {})
    assert outcome.problems == ("1 rows were not judged",)
