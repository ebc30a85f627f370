"""Rules that judge with the conversation are never run without a thread, and without one they see no declarations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guards.rules.contextual import ContextualGuard, Find
from guards.verdict import PPM, Context, Part, Scope, Span, Turn


class Echo(ContextualGuard):
    """Finds a part that repeats some turn."""

    made = 0

    def finder(self, context: Context) -> Find:
        self.made += 1

        def find(part: Part) -> Iterator[Span]:
            if any(turn.text == part.text for turn in context.turns):
                yield Span(0, len(part.text), "echo")

        return find


async def test_a_part_is_judged_with_its_context() -> None:
    guard, part = Echo("echo", 1), Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", "hi")
    context = Context((Turn("user", "/messages/0", "hi"),))
    assert not guard.is_quick([part])
    assert [verdict.score_ppm for verdict in await guard.judge([part], context)] == [PPM]
    assert [verdict.score_ppm for verdict in guard.judge_now([part])] == [0]
    await guard.judge([part] * 9, context)
    assert guard.made == 3, "once for all parts of a batch"
    with pytest.raises(NotImplementedError):
        list(guard.spans("hi"))
