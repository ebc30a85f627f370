"""One request's tokens: what was asked, what was generated, and whom to tell.

A sequence belongs to the engine thread from the moment it is added; only `cancelled` is set from outside. It tells
its receiver of every step exactly once, and of its end exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as ListOf

from torch import Tensor

from engine.errors import RequestError
from engine.events import Drawn, Event, Finished, GenerateRequest, Grown, Reason
from engine.kv_cache import Slot
from engine.output import Decodes, Detokeniser, StopStrings
from engine.sampler import Sampler


class Sequence:
    """A request on its way through the engine."""

    def __init__(
        self,
        request: GenerateRequest,
        tokenizer: Decodes,
        stop_ids: frozenset[int],
        receiver: Callable[[Event], None],
    ) -> None:
        self.request, self._receiver = request, receiver
        self._stop_ids = frozenset() if request.ignores_end else stop_ids
        self.cancelled = False
        """Set from outside when nobody waits for the answer any more."""
        self.slot: Slot | None = None
        self.ended = False
        self._sampler = Sampler(request.sampling)
        self._detokeniser, self._stops = Detokeniser(tokenizer), StopStrings(request.stops)
        self._untold: list[Drawn] = []
        self._last: int | None = None
        self._generated = 0

    @property
    def is_prefilling(self) -> bool:
        return self._last is None

    def next_ids(self, budget: int) -> ListOf[int]:
        """Tokens to run now: the last one drawn, or as much of the prompt as the budget allows."""
        if self._last is not None:
            return [self._last]
        done = self.slot.filled if self.slot is not None else 0
        return self.request.prompt[done : done + budget]

    def wants_logits(self, ids: ListOf[int]) -> bool:
        done = self.slot.filled if self.slot is not None else 0
        return not self.is_prefilling or done + len(ids) == len(self.request.prompt)

    def draw(self, logits_v: Tensor) -> None:
        """Take the next token from these logits, tell the receiver, and end if this was the last one."""
        drawn = self._sampler.draw(logits_v)
        self._last = drawn.token
        self._generated += 1
        if drawn.token in self._stop_ids:
            self._finish(Reason.STOP)
            return
        self._untold.append(drawn)
        self._tell(self._stops.push(self._detokeniser.push(drawn.token)))
        if self._stops.hit:
            self._finish(Reason.STOP)
        elif self._generated == self.request.max_tokens:
            self._finish(Reason.LENGTH)

    def fail(self, error: RequestError) -> None:
        if not self.ended:
            self.ended = True
            self._receiver(error)

    def _finish(self, reason: Reason) -> None:
        self.ended = True
        text = "" if self._stops.hit else self._stops.push(self._detokeniser.finish())
        cut_now = self._has_hit()
        self._tell(text if cut_now else text + self._stops.finish(), last=True)
        self._receiver(Finished(Reason.STOP if cut_now else reason, self._generated))

    def _has_hit(self) -> bool:
        return self._stops.hit

    def _tell(self, text: str, last: bool = False) -> None:
        """Tokens travel with the text that they made visible, so a held-back text holds its tokens back, too."""
        if text or (last and self._untold):
            tokens, self._untold = tuple(self._untold), []
            self._receiver(Grown(text, tokens))
