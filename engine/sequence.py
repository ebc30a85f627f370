"""One request's tokens: what was asked, what was generated, and whom to tell.

A sequence belongs to the engine thread from the moment it is added; only `cancelled` is set from outside. It tells
its receiver of every step exactly once, and of its end exactly once. Scores that are not finite numbers end it with
an error: nothing is drawn from them.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as ListOf

from torch import Tensor

from engine.constraint import Follower
from engine.errors import BadRequest, RequestError
from engine.events import Drawn, Event, Finished, GenerateRequest, Grown, Reason
from engine.output import Decodes, Detokeniser, StopStrings
from engine.sampler import Sampler
from engine.slot import Slot


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
        self.is_sound = True
        """False once its scores were not finite numbers."""
        self._sampler = Sampler(request.sampling, request.prompt)
        self._follower: Follower | None = None
        self._detokeniser, self._stops = Detokeniser(tokenizer), StopStrings(request.stops)
        self._untold: list[Drawn] = []
        self._scored = [Drawn(request.prompt[0])] if request.scores_prompt else []
        """The prompt's tokens as the model sees them; it has no opinion on the first."""
        self.ids = list(request.prompt)
        """Prompt and answer so far; the last one drawn has not gone through the model yet."""
        self.computed = 0
        """Tokens that went through the model for this answer, each counted once."""

    @property
    def first_wanted(self) -> int:
        """The first token after which logits are wanted: what lies before it may be taken over from others."""
        is_scoring = self.request.scores_prompt and len(self._scored) < len(self.request.prompt)
        return len(self._scored) - 1 if is_scoring else len(self.ids) - 1

    @property
    def _generated(self) -> int:
        return len(self.ids) - len(self.request.prompt)

    def next_ids(self, budget: int) -> ListOf[int]:
        """Tokens to run now: the last one drawn, or as much as the budget allows of what is not there (any more)."""
        done = self.slot.filled if self.slot is not None else 0
        return self.ids[done : done + budget]

    def wanted(self, count: int) -> ListOf[int]:
        """After which of the next `count` tokens logits are wanted."""
        done = self.slot.filled if self.slot is not None else 0
        return list(range(max(0, self.first_wanted - done), count))

    def ahead(self, logits_sv: Tensor) -> Tensor | None:
        """The token that these lead to, still on its device; None where more has to be known, or told, than that."""
        is_scoring = self.request.scores_prompt and len(self._scored) < len(self.request.prompt)
        is_limited = self.request.constraint is not None or self._is_early or self.request.max_tokens == 0
        return None if is_scoring or is_limited or len(logits_sv) != 1 else self._sampler.ahead(logits_sv[0])

    def take(self, logits_sv: Tensor, token: int | None = None) -> None:
        """The logits that were wanted, and the token if it was drawn ahead."""
        for logits_v in logits_sv:
            if self.ended:
                return
            following = len(self._scored)
            if self.request.scores_prompt and following < len(self.request.prompt):
                self._score(logits_v, self.request.prompt[following])
            else:
                self.draw(logits_v, token)

    def _score(self, logits_v: Tensor, token: int) -> None:
        """What the model thinks of the prompt's next token."""
        try:
            self._scored.append(self._sampler.scored(logits_v, token))
        except RequestError as exc:
            self._fail_unsound(exc)

    def _fail_unsound(self, error: RequestError) -> None:
        self.is_sound = False
        self.fail(error)

    def _begin(self) -> None:
        """The prompt is through: it is told first, if that was asked for."""
        if self.request.constraint is not None:
            self._follower = self.request.constraint.begin()
        if self.request.echo is not None:
            self._receiver(Grown(self.request.echo, tuple(self._scored)))

    def draw(self, logits_v: Tensor, token: int | None = None) -> None:
        """Take the next token from these logits, tell the receiver, and end if this was the last one."""
        if not self._generated:
            self._begin()
        if self.request.max_tokens == 0:
            self._finish(Reason.LENGTH)
            return
        try:
            drawn = self._next(logits_v) if token is None else Drawn(token)
        except BadRequest as exc:
            self.fail(exc)
        except RequestError as exc:
            self._fail_unsound(exc)
        else:
            if drawn is None:
                self._finish(Reason.STOP)
            else:
                self._accept(drawn)

    def _accept(self, drawn: Drawn) -> None:
        """One more token of the answer, which may be its last."""
        self.ids.append(drawn.token)
        if drawn.token in self._stop_ids:
            # Who asks for one token asks for its probabilities; an end is as good an answer as any other token.
            self._untold += [drawn] if self.request.max_tokens == 1 else []
            self._finish(Reason.STOP)
            return
        self._untold.append(drawn)
        self._tell(self._stops.push(self._detokeniser.push(drawn.token)))
        if self._stops.hit or self._is_complete:
            self._finish(Reason.STOP)
        elif self._generated == self.request.max_tokens:
            self._finish(Reason.LENGTH)

    def _next(self, logits_v: Tensor) -> Drawn | None:
        """The next token, or None where a grammar has an end that the request does not let it draw.

        BadRequest when its grammar leads nowhere, or further than its limits; any other RequestError when the scores
        are not numbers.
        """
        if self._follower is None:
            return self._sampler.draw(logits_v, self._stop_ids if self._is_early else ())
        allowed_v = self._follower.allowed(may_end=not self._is_early and bool(self._stop_ids))
        if allowed_v is None:
            return None
        drawn = self._sampler.draw(logits_v, (), allowed_v)
        self._follower.took(drawn.token)
        return drawn

    @property
    def _is_early(self) -> bool:
        """Whether it may not end yet."""
        return self._generated < self.request.min_tokens

    @property
    def _is_complete(self) -> bool:
        """Whether a grammar admits nothing more."""
        return self._follower is not None and self._follower.is_complete

    def fail(self, error: RequestError) -> None:
        if not self.ended:
            self.ended = True
            self._receiver(error)

    def _finish(self, reason: Reason) -> None:
        self.ended = True
        text = "" if self._stops.hit else self._stops.push(self._detokeniser.finish())
        cut_now = self._stops.hit
        self._tell(text if cut_now else text + self._stops.finish(), last=True)
        # The last token that was drawn has not gone through the model; where none was, all of the prompt has.
        passed = len(self.request.prompt) + max(0, self._generated - 1)
        self._receiver(
            Finished(Reason.STOP if cut_now else reason, self._generated, passed - self.computed, self.computed)
        )

    def _tell(self, text: str, last: bool = False) -> None:
        """Tokens travel with the text that they made visible, so a held-back text holds its tokens back, too."""
        if text or (last and self._untold):
            tokens, self._untold = tuple(self._untold), []
            self._receiver(Grown(text, tokens))
