"""What stands in for the world while a policy's tests run: models, reviewers, model server, log, kept text.

Each says what the case says, at once, and keeps what it was given, so that a test can look at it. Guards without a
model are no stand-ins: they judge for real, but each text once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from gateway.entries import Exchange, Record, Recorder
from gateway.errors import Unavailable
from gateway.exchange import AnswerEvent, Channel, Finish, TextDelta, ToolDelta
from gateway.jsonstrict import Json, loads
from gateway.outcome import Outcome
from gateway.reviews import concluded
from gateway.steps import Place
from gateway.transcript import NothingKept
from guards.errors import ErrorKind, GuardError
from guards.rules.base import CLEAN, RuleGuard
from guards.rules.contextual import ContextualGuard
from guards.verdict import NO_CONTEXT, PPM, Context, Guard, GuardIdentity, Part, Span, Verdict
from policies.ballots import Ballot, State, at_its_end
from policies.cases import Fake, Faked
from policies.cases import Upstream as Said
from policies.model import Decision

_DEPTH = 64


def remembering(guard: Guard) -> Guard:
    """The same guard, asked once for each text. One that goes by the rest of the exchange is asked each time."""
    return Remembered(guard) if isinstance(guard, RuleGuard) and not isinstance(guard, ContextualGuard) else guard


class Remembered(RuleGuard):
    """Tests have the same few texts over and over, and what such a guard says of one never changes."""

    def __init__(self, guard: RuleGuard) -> None:
        self.identity, self._guard = guard.identity, guard
        self._said: dict[str, Verdict] = {}

    def spans(self, text: str) -> Iterator[Span]:
        return self._guard.spans(text)

    def is_quick(self, parts: Sequence[Part]) -> bool:
        unheard = [part for part in parts if part.text not in self._said]
        return not unheard or self._guard.is_quick(unheard)

    def judge_now(self, parts: Sequence[Part]) -> list[Verdict]:
        for part in parts:
            if part.text not in self._said:
                (self._said[part.text],) = self._guard.judge_now([part])
        return [self._said[part.text] for part in parts]


class Scripted(RuleGuard):
    """A guard that says what the case says, and where the case says nothing: what the real rule says, or score 0."""

    def __init__(self, use: str, fakes: Sequence[Fake] = (), real: Guard | None = None) -> None:
        self.identity = GuardIdentity(use, "rehearsal")
        self._fakes, self._real = fakes, real

    def spans(self, text: str) -> Iterator[Span]:
        return iter(())

    def is_quick(self, parts: Sequence[Part]) -> bool:
        """What is scripted is said at once, without a task and a time limit for it."""
        return self._real is None or (isinstance(self._real, RuleGuard) and self._real.is_quick(parts))

    def judge_now(self, parts: Sequence[Part]) -> list[Verdict]:
        fakes = self._said(parts)
        if isinstance(self._real, RuleGuard):
            return _with_places(fakes, parts, self._real.judge_now(parts))
        return [CLEAN if fake is None else Verdict(fake.score_ppm, fake.categories) for fake in fakes]

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        if self._real is None:
            return self.judge_now(parts)
        return _with_places(self._said(parts), parts, await self._real.judge(parts, context))

    def _said(self, parts: Sequence[Part]) -> list[Fake | None]:
        """By part. Raises GuardError where the case has the guard fail."""
        fakes = [next((fake for fake in self._fakes if fake.scope in (None, part.scope)), None) for part in parts]
        for fake in fakes:
            if fake is not None and fake.error is not None:
                raise GuardError(self.identity.use, ErrorKind(fake.error), "the test says so")
        return fakes


def _with_places(fakes: Sequence[Fake | None], parts: Sequence[Part], real: Sequence[Verdict]) -> list[Verdict]:
    """What the guard says, or the places that the case says it finds."""
    return [
        _placed(fake, part.text) if fake is not None and fake.spans else verdict
        for fake, part, verdict in zip(fakes, parts, real, strict=True)
    ]


def _placed(fake: Fake, text: str) -> Verdict:
    found = {
        Span(at, at + len(wanted), label)
        for wanted, label in fake.spans
        for at in range(len(text))
        if text.startswith(wanted, at)
    }
    return Verdict(PPM, (), tuple(sorted(found))) if found else CLEAN


class StillHeldError(Exception):
    """The votes of the case do not decide a review: there the case ends."""

    def __init__(self, decision: Decision) -> None:
        super().__init__("an exchange is held")
        self.decision = decision


class Reviewing:
    """People who vote as the case says, at once."""

    def __init__(self, faked: Faked, outcome: Outcome, clock: Callable[[], float]) -> None:
        self._faked, self._outcome, self._clock = faked, outcome, clock

    async def reviewed(
        self, log: Recorder, exchange: Exchange, decision: Decision, parts: Sequence[Part], person: str
    ) -> Decision:
        wanted = [review for _, review in decision.reviews]
        ballot = Ballot.of(wanted, (exchange.caller.key_id, person))
        for name, approves in self._faked.votes:
            ballot.cast(name, approves)
        state = ballot.state
        if state is State.PENDING and self._faked.time_is_up:
            state = at_its_end(wanted, self._clock())
        self._outcome.state, self._outcome.because = str(state), ballot.because
        if state is State.PENDING:
            raise StillHeldError(decision)
        return concluded(decision, state)


class Written:
    """The log: a list."""

    def __init__(self, is_up: bool = True) -> None:
        self._is_up = is_up
        self.written: list[Record] = []

    async def append(self, record: Record) -> int:
        if not self._is_up:
            raise Unavailable("audit_unavailable", "the audit log cannot record this exchange")
        self.written.append(record)
        return len(self.written) - 1


class Server:
    """A model server that answers with the pieces of the case."""

    def __init__(self, said: Said) -> None:
        self.bodies: list[Json] = []
        self._said = said

    async def place(self, model: str, engine: str = "") -> Place:
        if not self._said.classes:
            return Place(self, model)
        classes = dict(self._said.classes)
        class_ = classes.get(engine) or classes.get(model) or self._said.class_
        return Place(self, model, engine or f"of {class_}", class_)

    async def answer(self, body: bytes, *, stream: bool, choices: int) -> AsyncGenerator[AnswerEvent]:
        self.bodies.append(loads(body, max_depth=_DEPTH))
        for choice in range(choices):
            if self._said.reasoning:
                yield TextDelta(choice, Channel.REASONING, self._said.reasoning)
            for chunk in self._said.chunks:
                yield TextDelta(choice, Channel.CONTENT, chunk)
                # Time for the other side to look; else all pieces arrive as one, and no window ends inside a case.
                await asyncio.sleep(0)
            for index, (name, arguments) in enumerate(self._said.tool_calls):
                yield ToolDelta(choice, index, f"call-{index}", name, arguments)
            yield Finish(choice, "tool_calls" if self._said.tool_calls else "stop")


class Keeping(NothingKept):
    """What the policy would have kept, sealed. A rehearsal leaves nothing behind."""

    def __init__(self) -> None:
        self.kept: list[Json] = []

    async def keep(self, exchange: Exchange, level: str, value: Json) -> Record:
        self.kept += [value] if exchange.policy.audit.keeps else []
        return {}
