"""The judge's answer is JSON, and its value is one of two."""

from __future__ import annotations

import json

from guards.generative.judge import ANSWER_BEGINS
from guards.profiles.policy_judge import POLICY_JUDGE


def test_the_answer_is_json_whichever_word_follows() -> None:
    answer = POLICY_JUDGE.answer

    assert answer.text == ANSWER_BEGINS
    assert [json.loads(f"{answer.text}{word}}}") for word in (*answer.unsafe, *answer.safe)] == [
        {"violates": True},
        {"violates": False},
    ]
