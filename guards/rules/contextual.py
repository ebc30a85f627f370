"""What rules share that judge a part by the rest of the exchange: the schemas it declares, what its system prompt says.

They are asked with the conversation, always in a thread. Without one they judge as if nothing had been declared.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator, Sequence

from guards.rules.base import RuleGuard
from guards.verdict import NO_CONTEXT, PPM, Context, Part, Span, Verdict


class ContextualGuard(RuleGuard):
    """Subclasses give `find`."""

    @abstractmethod
    def find(self, part: Part, context: Context) -> Iterator[Span]:
        """Every hit. Raises GuardError for a part that cannot be judged."""

    def spans(self, text: str) -> Iterator[Span]:
        raise NotImplementedError("a part is judged with its context")

    def is_quick(self, parts: Sequence[Part]) -> bool:
        return False

    def judge_now(self, parts: Sequence[Part]) -> list[Verdict]:
        return self._judged(parts, NO_CONTEXT)

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        return await asyncio.to_thread(self._judged, parts, context)

    def _judged(self, parts: Sequence[Part], context: Context) -> list[Verdict]:
        found = (tuple(sorted(self.find(part, context))) for part in parts)
        return [Verdict(PPM if spans else 0, spans=spans) for spans in found]
