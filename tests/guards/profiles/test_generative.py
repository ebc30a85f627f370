"""A generative profile that contradicts itself cannot be made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guards.profiles.generative import AnswerForm
from guards.profiles.llama_guard_3_8b import LLAMA_GUARD_3_8B
from guards.profiles.profile import Task


@pytest.mark.parametrize(
    "changes",
    [
        {"names": (("S1", "a"), ("S1", "b"))},
        {"names": (("1S", "a"),)},
        {"names": (("S 1", "a"),)},
        {"overlap": 8_192},
        {"overlap": -1},
        {"turns": 1},
    ],
)
def test_contradictions_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="profile `llama_guard_3_8b`"):
        replace(LLAMA_GUARD_3_8B, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("safe", "unsafe"), [((), ("unsafe",)), (("safe",), ()), (("a",), ("a",)), (("a", "a"), ("b",)), (("",), ("b",))]
)
def test_an_answer_has_two_sides_that_differ(safe: tuple[str, ...], unsafe: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="safe and unsafe verdicts that differ"):
        AnswerForm(safe, unsafe)


def test_it_is_asked_by_generation_and_reports_its_codes() -> None:
    assert LLAMA_GUARD_3_8B.task is Task.GENERATE
    assert LLAMA_GUARD_3_8B.categories == tuple(f"S{i}" for i in range(1, 15))
