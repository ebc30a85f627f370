"""Stand-ins say what a case says; guards without a model judge for real, each text once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.stand_ins import Remembered, Scripted, remembering
from guards.errors import ErrorKind, GuardError
from guards.registry import build
from guards.rules.base import RuleGuard
from guards.verdict import Part, Scope, Span, Verdict
from policies.cases import Fake


class Counting(RuleGuard):
    def __init__(self) -> None:
        super().__init__("counting", 1)
        self.asked: list[str] = []

    def spans(self, text: str) -> Iterator[Span]:
        self.asked.append(text)
        yield Span(0, 1, "x")


def part(text: str, scope: Scope = Scope.USER) -> Part:
    return Part(scope, "/messages/0", "user", text)


async def test_a_guard_that_goes_by_the_text_alone_is_asked_once_for_each() -> None:
    inner = Counting()
    guard = Remembered(inner)
    parts = [part("a"), part("b"), part("a")]
    assert await guard.judge(parts) == guard.judge_now(parts) == Counting().judge_now(parts)
    assert inner.asked == ["a", "b"]


async def test_a_large_text_is_read_away_from_the_loop_until_it_is_known() -> None:
    guard, large = Remembered(Counting()), [part("x" * 100_000)]
    assert not guard.is_quick(large)
    await guard.judge(large)
    assert guard.is_quick(large)


def test_one_that_goes_by_the_exchange_is_asked_each_time() -> None:
    assert isinstance(remembering(build("secrets", {}, {})), Remembered)
    contextual = build("tool_arguments", {}, {})
    assert remembering(contextual) is contextual


async def test_a_scripted_guard_says_what_the_case_says_by_scope() -> None:
    fakes = [Fake("harm", Scope.OUTPUT, 7), Fake("inject", None, 9, (("S1", 9),))]
    parts = [part("a"), part("b", Scope.OUTPUT)]
    assert Scripted("u", fakes[:1]).judge_now(parts) == [Verdict(0), Verdict(7)]
    assert await Scripted("u", fakes[1:]).judge(parts) == [Verdict(9, (("S1", 9),))] * 2
    assert Scripted("u").judge_now(parts) == [Verdict(0)] * 2


async def test_a_scripted_error_stands_before_what_the_real_rule_says() -> None:
    guard = Scripted("counting", [Fake("c", Scope.USER, error=ErrorKind.TIMEOUT)], Counting())
    with pytest.raises(GuardError):
        guard.judge_now([part("a")])
    with pytest.raises(GuardError):
        await guard.judge([part("a")])
    assert guard.judge_now([part("a", Scope.OUTPUT)]) == Counting().judge_now([part("a")])
