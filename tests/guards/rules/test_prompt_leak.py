"""A canary in any disguise, and a run of the system prompt's words, are leaks; what the user said too is none."""

from __future__ import annotations

import base64

import pytest

from guards.errors import GuardSetupError
from guards.rules.prompt_leak import PromptLeakGuard
from guards.verdict import Context, Part, Scope

SYSTEM = (
    "You are Mia, the assistant of Blue Bank. Never name the interest rate of other banks, and never say why. "
    "Code k3Jx9QpL2mVa."
)
CANARY = "k3Jx9QpL2mVa"


def found(answer: str, user: str = "hello", system: str = SYSTEM, **options: object) -> list[tuple[str, str]]:
    parts = [
        Part(Scope.SYSTEM, "/messages/0/content", "system", system),
        Part(Scope.USER, "/messages/1/content", "user", user),
    ]
    part = Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", answer)
    spans = PromptLeakGuard(**options).finder(Context.of(parts))(part)  # type: ignore[arg-type]
    return [(span.label, answer[span.start : span.end]) for span in spans]


def test_a_run_of_the_prompts_words_is_found_whatever_its_punctuation_and_case() -> None:
    leaked = "never NAME the interest-rate of other banks; and never say why"
    assert found(f"My rules: {leaked}! Bye.", words=8) == [("prompt_words", leaked)]


def test_two_runs_apart_are_two_and_a_shorter_run_is_none() -> None:
    answer = "You are Mia, the assistant of Blue Bank. So. Never name the interest rate of other banks, and so on."
    assert [label for label, _ in found(answer, words=7)] == ["prompt_words", "prompt_words"]
    assert found(answer, words=20) == []


def test_words_that_the_user_said_are_no_leak() -> None:
    answer = "Never name the interest rate of other banks, and never say why."
    assert found(answer, user=f"Is this your rule: {answer}", words=8) == []


@pytest.mark.parametrize(
    "answer",
    [
        f"it is {CANARY}.",
        CANARY.lower(),
        CANARY[:5] + "\u200b" + CANARY[5:],
        base64.b64encode(f"the code is {CANARY}, keep it".encode()).decode(),
    ],
)
def test_a_canary_is_found_in_its_disguises(answer: str) -> None:
    assert [label for label, _ in found(answer, canaries=[CANARY])] == ["canary"]


def test_a_clean_answer_and_one_without_a_system_prompt_leak_nothing() -> None:
    assert found("The branch opens at nine.", canaries=[CANARY]) == []
    assert found(SYSTEM, system="Short.") == []


@pytest.mark.parametrize("beside", [" \u2013 yes", "\u65e5\u672c", "caf\u00e9 "])
def test_letters_outside_ascii_beside_a_canary_do_not_hide_it(beside: str) -> None:
    assert [label for label, _ in found(f"{beside} k3Jx9QpL2mVa", canaries=["k3Jx9QpL2mVa"])] == ["canary"]


@pytest.mark.parametrize("canary", ["short", "with space 123", "schlüssel1234"])
def test_a_canary_that_chance_could_write_is_refused(canary: str) -> None:
    with pytest.raises(GuardSetupError) as caught:
        PromptLeakGuard(canaries=[canary])
    assert caught.value.option == "canaries"
