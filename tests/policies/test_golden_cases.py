"""Golden decisions: a policy, findings, and the whole decision that has to come of them.

A file in cases/ that has to change because code changed is a change of what policies mean, and needs an entry in the
changelog. Scores are in parts per million, as they are in audit records.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from guards.errors import ErrorKind
from guards.panel import Panel
from guards.registry import build
from guards.verdict import Context, Finding, Part, Scope, Span, Verdict
from policies.decide import decide
from policies.load import load_policy, parse_policy
from policies.model import Decision, Facts, Policy, Redaction, Review

FOLDER = Path(__file__).parent / "cases"
LIBRARY = Path(__file__).parents[2] / "policies" / "library"
FILES = sorted(FOLDER.glob("*.yaml"))


def policy_in(case: dict[str, Any]) -> Policy:
    if "library" in case:
        return load_policy(LIBRARY / case["library"])
    return parse_policy(case["policy"].encode(), "policy")


def finding_in(row: dict[str, Any], parts: dict[str, Part]) -> Finding:
    part = parts[row["path"]]
    if "error" in row:
        return Finding(row["detector"], part, None, ErrorKind(row["error"]))
    spans = tuple(sorted(Span(*span) for span in row.get("spans", [])))
    categories = tuple(sorted(row.get("categories", {}).items()))
    return Finding(row["detector"], part, Verdict(row.get("score", 0), categories, spans))


def judged(case: dict[str, Any], parts: dict[str, Part]) -> list[Finding]:
    """What the policy's own guards say, in a case without findings: none of them may need a model."""
    policy = policy_in(case)
    panel = Panel({name: build(spec.use, spec.options, {}) for name, spec in policy.detectors.items()})

    async def ask() -> list[Finding]:
        deadline = asyncio.get_running_loop().time() + 30
        return await panel.judge(list(parts.values()), policy.detectors_for, deadline, Context.of(list(parts.values())))

    return asyncio.run(ask())


def plain(decision: Decision) -> dict[str, Any]:
    """The decision as it is written in the files: what is empty is left out."""
    fields: dict[str, Any] = {
        "action": decision.action.name.lower(),
        "rules": list(decision.rules),
        "code": decision.code,
        "message": decision.message,
        "status": decision.status,
        "dialect": decision.dialect or None,
        "flags": [[flag.rule, flag.queue, flag.severity] for flag in decision.flags],
        "redactions": [_cut(cut) for cut in decision.redactions],
        "annotations": [list(one) for one in decision.annotations],
        "template": decision.template,
        "route": decision.route,
        "require_seed": decision.require_seed or None,
        "reviews": [_review(rule, review) for rule, review in decision.reviews],
        "hanging": list(decision.hanging),
        "opened": [list(one) for one in decision.opened],
        "shadow": [list(one) for one in decision.shadow],
        "errors": [list(one) for one in decision.errors],
        "uncovered": list(decision.uncovered),
    }
    return {key: value for key, value in fields.items() if value not in (None, [])}


def _review(rule: str, review: Review) -> list[Any]:
    said = [rule, review.queue, review.quorum, review.hold]
    return [*said, review.risk.ticket] if review.risk else said


def _cut(cut: Redaction) -> list[Any]:
    said = {cut.kind: cut.kind != "redact", "before_audit": cut.before_audit, "reversible": cut.reversible}
    return [cut.path, cut.start, cut.end, cut.replacement, cut.rule, *(word for word, is_so in said.items() if is_so)]


def part_in(path: str, scope: str, text: str, tool: str = "") -> Part:
    return Part(Scope(scope), path, "system" if scope == "system" else "user", text, tool=tool)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_golden_case(file: Path) -> None:
    case = yaml.safe_load(file.read_text())
    parts = {path: part_in(path, *said) for path, said in case["parts"].items()}
    found = [finding_in(row, parts) for row in case["findings"]] if "findings" in case else judged(case, parts)
    facts = Facts(tuple(parts.values()), **{"tenant": "t", "app": "a", "model": "m", **case.get("facts", {})})
    assert plain(decide(policy_in(case), found, facts)) == case["decision"]


def test_there_are_cases() -> None:
    assert len(FILES) >= 6
