"""What a sequence tells its receiver. Without torch, so that the server can name these types before it is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from engine.errors import RequestError

if TYPE_CHECKING:
    from engine.adapters import Adapter
    from engine.constraint import Constraint
    from engine.vision.prompt import Placed


class Reason(StrEnum):
    """Why an answer is complete."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Drawn:
    """One chosen token, with what was asked for about it."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()
    """(token, log-probability), most probable first."""


@dataclass(frozen=True, slots=True)
class Grown:
    """Text that became visible, and the tokens drawn since the last event."""

    text: str = field(repr=False)
    tokens: tuple[Drawn, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more comes."""

    reason: Reason
    generated: int
    reused: int = field(default=0, compare=False)
    """Tokens of the prompt whose keys and values were there already."""
    computed: int = field(default=0, compare=False)
    """Tokens that went through the model for this answer."""


Event: TypeAlias = Grown | Finished | RequestError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a request wants its tokens drawn. The wire has checked the ranges."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """Zero: no limit."""
    min_p: float = 0.0
    """Least probability relative to the most probable token."""
    seed: int | None = None
    logprobs: int | None = None
    """How many alternatives to report besides the chosen token; None: no log-probabilities at all."""
    reported: tuple[int, ...] = ()
    """Report exactly these tokens (and the chosen one) instead of the most probable ones."""
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token, what is added to its score)."""

    @property
    def penalises(self) -> bool:
        """Whether a token's score depends on those that were drawn before."""
        return (self.presence_penalty, self.frequency_penalty, self.repetition_penalty) != (0, 0, 1)

    @property
    def adjusts(self) -> bool:
        """Whether tokens are drawn from other scores than the model's."""
        return self.penalises or bool(self.logit_bias)


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """What to generate. The prompt is not empty; sizes have been checked against the model."""

    prompt: tuple[int, ...] = field(repr=False)
    """Token ids; below zero where a patch of a picture stands."""
    max_tokens: int
    deadline: float
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[str, ...] = field(default=(), repr=False)
    min_tokens: int = 0
    """Before so many tokens the model's own end of an answer cannot be drawn."""
    echo: str | None = field(default=None, repr=False)
    """The prompt's text, to be told before the answer, with the prompt's own log-probabilities if there are any."""
    ignores_end: bool = False
    """Go on past the model's own end of an answer; for measurements."""
    priority: int = 0
    """Lower begins first among the requests that wait for one model."""
    salt: str = ""
    """Beginnings are shared only between requests of the same salt."""
    adapter: Adapter | None = None
    """What is added to the base model for this request. Held here, so it stays while the request runs."""
    pictures: tuple[Placed, ...] = ()
    constraint: Constraint | None = None
    """What the answer's text has to look like."""

    @property
    def positions(self) -> int:
        """The most room it may need: the last token drawn is never fed back, so it needs none."""
        return len(self.prompt) + max(0, self.max_tokens - 1)

    @property
    def kept_under(self) -> str:
        """What keys and values depend on besides the tokens: only those of one name are ever shared.

        The length in front keeps apart what a caller's salt might imitate.
        """
        digest = "" if self.adapter is None else self.adapter.digest
        return f"{len(digest)}:{digest}{self.salt}"

    @property
    def scores_prompt(self) -> bool:
        """Whether the probabilities of the prompt's own tokens are wanted."""
        return self.echo is not None and self.sampling.logprobs is not None
