"""The values that pass between whoever judges and whoever decides.

A Part is one piece of text with its place in the request. A Guard turns parts into Verdicts or raises
GuardError; there is no third outcome. A Finding is what the panel keeps of that for one part and one
detector. Nothing here prints or stores the text beyond the Part itself: `repr` leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from guards.errors import ErrorKind

PPM = 1_000_000
"""Scores are integers in parts per million, so that a replay compares exactly."""


class Scope(StrEnum):
    """What a part is. Rules name scopes; a scope that no rule covers is refused."""

    SYSTEM = "system"
    USER = "user"
    HISTORY = "history"
    TOOL_SCHEMA = "tool_schema"
    TOOL_RESULT = "tool_result"
    TOOL_CALL = "tool_call"
    IMAGE = "image"
    OUTPUT = "output"
    REASONING = "reasoning"


@dataclass(frozen=True, slots=True)
class Part:
    """One judged piece of text."""

    scope: Scope
    path: str
    """JSON pointer (RFC 6901) into the request, or into the answer."""
    role: str
    """The message role it came under, or `tool` for schemas, calls and results."""
    text: str = field(repr=False)
    preceding: str = field(default="", repr=False)
    """In a window of a streamed answer: what was judged before and comes right before `text`. Guards that judge with
    the whole conversation read both; all others read `text`, which overlaps what was judged."""
    tool: str = ""
    """The tool that a part of a call names or gives arguments to, or whose result it is."""
    picture: str = field(default="", repr=False)
    """Of a part in the scope `image`: the `data:` URL, which holds the same bytes as the request that is sent."""

    @property
    def bytes(self) -> int:
        """Size in UTF-8, the unit of the coverage record; of a picture, of its file."""
        return len(self.text.encode()) + (len(self.picture.partition(",")[2].rstrip("=")) * 3 // 4)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation, for guards that read more than the part they judge."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    path: str
    """`/messages/N`."""
    text: str = field(repr=False)
    """All text of the message, its pieces a line apart."""


_MESSAGE = re.compile(r"/messages/(\d+)(?:/|$)")
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


@dataclass(frozen=True, slots=True)
class Context:
    """The conversation that parts belong to, and for whom they are judged. Evidence, never a decision."""

    turns: tuple[Turn, ...] = ()
    """Every message of the request, in order."""
    tenant: str = ""
    """What is remembered of one tenant's text never answers another's."""
    schemas: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Path and text of what the request declares: its tools and the form of its answer."""

    @classmethod
    def of(cls, parts: Sequence[Part], tenant: str = "") -> Context:
        """The turns that the parts of a request make up."""
        by_path: dict[str, list[Part]] = {}
        for part in parts:
            if message := _MESSAGE.match(part.path):
                by_path.setdefault(f"/messages/{message[1]}", []).append(part)
        turns = tuple(_turn(path, found) for path, found in by_path.items())
        schemas = tuple((part.path, part.text) for part in parts if part.scope is Scope.TOOL_SCHEMA)
        return cls(turns, tenant, schemas)

    def own(self, part: Part) -> Turn | None:
        """The message that the part is of."""
        message = _MESSAGE.match(part.path)
        return next((turn for turn in self.turns if message and turn.path == f"/messages/{message[1]}"), None)

    def history(self, part: Part) -> tuple[Turn, ...]:
        """What was said before the part: earlier messages for one of the request, all of them for one of an answer."""
        if part.path.startswith("/choices/"):
            return self.turns
        message = _MESSAGE.match(part.path)
        if message is None:
            return ()
        own = int(message[1])
        return tuple(turn for turn in self.turns if int(turn.path.rpartition("/")[2]) < own)


def _turn(path: str, parts: Sequence[Part]) -> Turn:
    scopes = {part.scope for part in parts}
    role = "assistant" if Scope.TOOL_CALL in scopes else _ROLES.get(parts[0].role, "user")
    return Turn(role, path, "\n".join(part.text for part in parts if part.text))


NO_CONTEXT = Context()


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters [start, end) of the raw text, and what was found there."""

    start: int
    end: int
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"span is {self.start}..{self.end}, expected 0 <= start < end")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one guard said about one part. Only facts: thresholds belong to the policy."""

    score_ppm: int
    """Probability, in parts per million, that the text is what the guard looks for. Rules give 0 or 1,000,000."""
    categories: tuple[tuple[str, int], ...] = ()
    """(code, score_ppm), sorted by code, without repeats: equal verdicts must encode to equal audit bytes."""
    spans: tuple[Span, ...] = ()
    """Sorted. Empty for guards that cannot point at characters."""
    windows: int = 1
    """How many overlapping windows were needed to see all of the text."""
    view: str = ""
    """The form of the text whose score counted (guards/views/), or for generative guards `alone` or `conversation`.
    Empty where there is but one."""

    def __post_init__(self) -> None:
        if not 0 <= self.score_ppm <= PPM:
            raise ValueError(f"score is {self.score_ppm} ppm, expected 0 to {PPM}")
        codes = [code for code, _ in self.categories]
        if codes != sorted(set(codes)):
            raise ValueError("categories must be sorted by code and without repeats")
        if any(not 0 <= score <= PPM for _, score in self.categories):
            raise ValueError(f"a category score is outside 0 to {PPM} ppm")
        if list(self.spans) != sorted(self.spans):
            raise ValueError("spans must be sorted")


@dataclass(frozen=True, slots=True)
class Finding:
    """What the panel keeps for one detector and one part: a verdict, or why there is none."""

    detector: str
    """Name from the policy; the audit record cites it."""
    part: Part
    verdict: Verdict | None
    error: ErrorKind | None = None
    us: int = 0
    """Microseconds of wall time the guard took for the batch this part was in."""

    def __post_init__(self) -> None:
        if (self.verdict is None) == (self.error is None):
            raise ValueError("a finding holds either a verdict or an error")


class Guard(Protocol):
    """Judges text. Never changes it, never stores it, never blocks the event loop."""

    @property
    def identity(self) -> GuardIdentity: ...

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        """One verdict for each part, in order, or GuardError for all of them.

        A guard that cannot tell does not say "not flagged": it raises.
        """


@dataclass(frozen=True, slots=True)
class GuardIdentity:
    """Which code and weights judged; the record carries it so that a decision can be replayed."""

    use: str
    """The name a policy writes after `use:`."""
    version: str
    weights: str = ""
    """`sha256:…` of the weights manifest; empty for rules, whose version is their digest. Of a guard that runs on a
    server: of the files that are here, its tokenizer and template."""
    profile: str = ""
    """The profile that says what its labels and codes mean; empty for rules."""
    template: str = ""
    """`sha256:…` of the prompt template of a generative guard."""
    model: str = ""
    """The name under which a server runs it; empty for one in the local model host."""
