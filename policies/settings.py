"""What a policy sets for whole exchanges: when text of an answer may leave, and how large things may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from guards.verdict import Scope

STREAMED_SCOPES: Final = frozenset({Scope.OUTPUT, Scope.REASONING})
"""What may leave as it comes. Tool calls are held until they are complete, whatever the mode."""
ANSWER_SCOPES: Final = STREAMED_SCOPES | {Scope.TOOL_CALL}
"""Tool calls are of answers, and of earlier ones that a request repeats."""
STREAM_MODES = ("buffer", "window", "shadow_only")
"""The strictest first."""
MOST_IMAGES = 32
"""In a request: the digest of each stands in its record."""
CHARS_PER_TOKEN = 4
"""What a token counts for in sizes. The gateway has no tokenizer of the upstream's."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much text, in the unit the author chose."""

    count: int
    unit: str
    """`tokens` or `characters`."""

    @property
    def chars(self) -> int:
        return self.count * (CHARS_PER_TOKEN if self.unit == "tokens" else 1)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """When text of an answer may leave."""

    mode: str
    """`buffer`: the whole answer after its verdict. `window`: a window after its verdict. `shadow_only`: as it
    comes, and it is judged afterwards."""
    window: Amount = Amount(0, "characters")
    """New text that is judged together; the least of it when there is a `window_most`."""
    holdback: Amount = Amount(0, "characters")
    max_wait_ms: int = 1500
    window_most: Amount | None = None
    """Up to which a window may grow when text comes faster than guards judge it."""
    max_delay_ms: int = 0
    """Within this time text leaves once it is judged, the hold-back too; 0: what is held back waits for more text."""

    @property
    def window_chars(self) -> int:
        return self.window.chars

    @property
    def window_most_chars(self) -> int:
        return self.window_most.chars if self.window_most else self.window.chars

    @property
    def holdback_chars(self) -> int:
        return self.holdback.chars

    @property
    def max_wait_s(self) -> float:
        return self.max_wait_ms / 1000

    @property
    def max_delay_s(self) -> float:
        return self.max_delay_ms / 1000 if self.max_delay_ms else math.inf


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request and an answer may measure. More is refused, never trimmed."""

    body: int = 2 * 1024 * 1024
    depth: int = 64
    messages: int = 256
    images: int = 0
    tools: int = 64
    input_chars: int = 200_000
    output_chars: int = 100_000
    n: int = 1
    input_tokens: int = 1_000_000
    """Of CHARS_PER_TOKEN characters each; `input_chars` holds besides."""
    output_tokens: int = 1_000_000
    """What a request may ask for, and how long an answer may be, counted in the same way."""
    logprobs: bool = True
    """Whether a request may ask for the log-probabilities of the tokens."""

    @property
    def answer_chars(self) -> int:
        return min(self.output_chars, self.output_tokens * CHARS_PER_TOKEN)
