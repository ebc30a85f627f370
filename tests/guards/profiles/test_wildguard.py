"""WildGuard speaks of the question first and of the answer last."""

from __future__ import annotations

from guards.profiles.wildguard import WILDGUARD


def test_the_line_that_is_read_depends_on_what_is_judged() -> None:
    assert WILDGUARD.answer.text == "Harmful request:"
    assert WILDGUARD.agent_answer is not None
    assert WILDGUARD.agent_answer.text == "\nHarmful response:"
    assert [line.text for line in WILDGUARD.agent_answer.before] == ["Harmful request:", "\nResponse refusal:"]
