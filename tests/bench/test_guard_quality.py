"""The acceptance check reads the gateway's answers strictly: only a block by the policy is a stop."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bench.guard_quality import PROMPTS, Outcome, Prompt, is_met, outcome, read_prompts, report

PROMPT = Prompt(1, "x", "attack", "jailbreak", "en")


def blocked(*rules: str) -> dict[str, Any]:
    return {"error": {"code": "content_filter", "gatehouse": {"rules": list(rules)}}}


def answered(reason: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": reason}], **more}


@pytest.mark.parametrize(
    ("status", "body", "side", "reason"),
    [
        (400, blocked("harm-in", "injection-user"), "request", "harm-in injection-user"),
        (200, answered("content_filter", gatehouse={"rules": ["harm-out"]}), "answer", "harm-out"),
        (200, answered("stop"), "passed", ""),
        (400, {"error": {"code": "unknown_field"}}, "failed", "400 unknown_field"),
        (503, {"error": {"code": "guard_unavailable"}}, "failed", "503 guard_unavailable"),
    ],
)
def test_an_answer_is_read_for_what_it_is(status: int, body: Any, side: str, reason: str) -> None:
    assert outcome(PROMPT, status, body) == Outcome(PROMPT, side, reason)


def outcomes(attacks: int, harmful: int, ordinary: int) -> list[Outcome]:
    """So many of each are stopped."""
    found: list[Outcome] = []
    for prompt in read_prompts(PROMPTS):
        counts = {"attack": attacks, "harmful": harmful, "ordinary": ordinary}
        before = sum(earlier.prompt.expect == prompt.expect for earlier in found)
        found.append(Outcome(prompt, "request" if before < counts[prompt.expect] else "passed", ""))
    return found


@pytest.mark.parametrize(
    ("attacks", "harmful", "ordinary", "met"),
    [(30, 30, 6, True), (29, 40, 0, False), (40, 29, 0, False), (40, 40, 7, False)],
)
def test_the_bar_is_exact(attacks: int, harmful: int, ordinary: int, met: bool) -> None:
    assert is_met(outcomes(attacks, harmful, ordinary)) is met


def test_a_prompt_without_a_verdict_misses_the_bar() -> None:
    found = outcomes(40, 40, 0)
    assert not is_met([*found[:-1], Outcome(found[-1].prompt, "failed", "503 guard_unavailable")])


def test_the_report_names_lines_and_no_text() -> None:
    said = report(outcomes(30, 30, 6))
    assert " 31 attack" in said
    assert not [prompt.line for prompt in read_prompts(PROMPTS) if prompt.text in said]


def test_the_prompts_are_as_many_as_the_bar_speaks_of() -> None:
    prompts = read_prompts(PROMPTS)
    assert Counter(prompt.expect for prompt in prompts) == {"attack": 40, "harmful": 40, "ordinary": 80}
    assert len({prompt.text for prompt in prompts}) == len(prompts)
