"""What rules share that judge a part by the rest of the exchange: the schemas it declares, what its system prompt says.

They are asked with the conversation, always in a thread. Without one they judge as if nothing had been declared.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

from guards.rules.base import RuleGuard
from guards.verdict import NO_CONTEXT, PPM, Context, Part, Span, Verdict

Find = Callable[[Part], Iterator[Span]]
"""Raises GuardError for a part that cannot be judged."""


class ContextualGuard(RuleGuard):
    """Subclasses give `finder`."""

    @abstractmethod
    def finder(self, context: Context) -> Find:
        """What gives every hit in a part. What the context says is read once here, and not for each of many parts."""

    def spans(self, text: str) -> Iterator[Span]:
        raise NotImplementedError("a part is judged with its context")

    def is_quick(self, parts: Sequence[Part]) -> bool:
        return False

    def judge_now(self, parts: Sequence[Part]) -> list[Verdict]:
        return self._judged(parts, NO_CONTEXT)

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        return await asyncio.to_thread(self._judged, parts, context)

    def _judged(self, parts: Sequence[Part], context: Context) -> list[Verdict]:
        find = self.finder(context)
        found = (tuple(sorted(find(part))) for part in parts)
        return [Verdict(PPM if spans else 0, spans=spans) for spans in found]
