"""The tests in a policy file, run through the real exchange: reader, guards' panel, decision, hold-back, release.

Only three things are scripted: the models behind guards (a model that a case does not fake gives score 0), the model
server, and the log, which is a list. Guards without a model are the real ones. So a case that passes here says what a
client would have got. Reports name places, rules and codes, and never the texts of a case.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.entries import Exchange, Record
from gateway.errors import GatewayError
from gateway.exchange import (
    AnswerEvent,
    Caller,
    Channel,
    ChatRequest,
    Finish,
    ReleasedCalls,
    ReleasedText,
    TextDelta,
    ToolDelta,
)
from gateway.jsonstrict import Json, dumps, loads
from gateway.pipeline import Blocked, InForce, Pipeline
from gateway.reviews import Log, refused
from gateway.transcript import NothingKept
from gateway.wire import parse_chat
from guards.errors import ErrorKind, GuardError
from guards.panel import Panel
from guards.registry import RULES, build
from guards.verdict import NO_CONTEXT, Context, Guard, GuardIdentity, Part, Verdict
from policies.ballots import Ballot, State
from policies.cases import Case, Expect, Fake, Message, Send
from policies.cases import Upstream as Said
from policies.model import GUARD_UNAVAILABLE, Action, Decision, DetectorSpec, Policy

_KEY = b"rehearsal keys protect no content"
_DEPTH = 64


@dataclass(slots=True)
class Outcome:
    """What came of one case."""

    action: Action = Action.ALLOW
    rules: set[str] = field(default_factory=set)
    """Those that determined the action, over request and answer."""
    code: str | None = None
    status: int = 200
    upstream_calls: int = 0
    shadow: set[str] = field(default_factory=set)
    flags: set[str] = field(default_factory=set)
    annotations: set[str] = field(default_factory=set)
    template: str | None = None
    route: str | None = None
    state: str | None = None
    because: str | None = None
    audit_holds: tuple[str, ...] = field(default=(), repr=False)
    """Every text in records, and in what is kept beside them."""
    client_saw: str = field(default="", repr=False)
    upstream_saw: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A case and how what came of it differs from what it expects; no difference is a pass."""

    case: Case
    differences: tuple[str, ...]
    deciding: frozenset[str]
    """The rules that decided."""
    shadow: frozenset[str] = frozenset()
    """Those that matched and change nothing."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.differences


class Rehearsal:
    """Runs the cases of one policy. The guards that run for real are built once."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._real = {
            name: build(spec.use, spec.options, {}) for name, spec in policy.detectors.items() if spec.use in RULES
        }

    async def run(self, case: Case) -> Rehearsed:
        """Run one case. Never raises for what is in it."""
        begun = time.perf_counter()
        outcome = await _played(self._policy, self._in_force(case), case)
        differences, seconds = tuple(_differences(case.expect, outcome)), time.perf_counter() - begun
        return Rehearsed(case, differences, frozenset(outcome.rules), frozenset(outcome.shadow), seconds)

    async def run_all(self) -> tuple[Rehearsed, ...]:
        """Every case of the policy, in order."""
        return tuple([await self.run(case) for case in self._policy.cases])

    def _in_force(self, case: Case) -> InForce:
        guards = {name: self._guard(spec, case.fakes) for name, spec in self._policy.detectors.items()}
        identities = {name: guard.identity for name, guard in guards.items()}
        at = case.at
        clock = time.time if at is None else lambda: float(at)
        return InForce(self._policy, Panel(guards), identities, clock=clock)

    def _guard(self, spec: DetectorSpec, fakes: Sequence[Fake]) -> Guard:
        real = self._real.get(spec.name)
        own = [fake for fake in fakes if fake.detector == spec.name]
        return real if real is not None and not own else _Scripted(spec.use, own, real)


class _Keeps(NothingKept):
    """What the policy would have kept, sealed. A rehearsal leaves nothing behind."""

    def __init__(self) -> None:
        self.kept: list[Json] = []

    async def keep(self, exchange: Exchange, level: str, value: Json) -> Record:
        self.kept += [value] if exchange.policy.audit.keeps else []
        return {}


def failing(policy: Policy) -> list[Rehearsed]:
    """The tests of the policy that do not pass. Blocks: not for an event loop."""
    return [case for case in asyncio.run(Rehearsal(policy).run_all()) if not case.passed]


async def _played(policy: Policy, in_force: InForce, case: Case) -> Outcome:
    outcome, records, server, keeper = Outcome(), _Records(), _Server(case.upstream), _Keeps()
    caller = Caller("rehearsal", case.send.tenant, case.send.app, dict(case.send.claims))
    exchange = Exchange("rehearsal", caller, "", "rehearsal", policy, case.upstream.class_)
    try:
        request = _request(policy, case.send)
        reviewers = _Reviewers(case.votes, outcome)
        steps = Pipeline(server, _KEY, keeper, reviewers).run(records, exchange, in_force, request)
        async for step in steps:
            if isinstance(step, Blocked):
                outcome.code, outcome.status = step.decision.code, _status(step, outcome)
                outcome.client_saw += step.decision.message or ""
            elif isinstance(step, ReleasedText):
                outcome.client_saw += step.text
            elif isinstance(step, ReleasedCalls):
                outcome.client_saw += "".join(call.name + call.arguments for call in step.calls)
    except _StillHeldError as held:
        records.sum_up(outcome)
        outcome.action, outcome.rules = Action.REVIEW, {rule for rule, _ in held.decision.reviews}
        outcome.upstream_calls, outcome.upstream_saw = len(server.bodies), tuple(_texts(server.bodies))
        outcome.audit_holds = tuple(_texts([*keeper.kept, *records.written]))
        return outcome
    except GatewayError as exc:
        outcome.action, outcome.code, outcome.status = Action.BLOCK, exc.code, exc.status
    records.sum_up(outcome)
    outcome.audit_holds = tuple(_texts([*keeper.kept, *records.written]))
    outcome.upstream_calls, outcome.upstream_saw = len(server.bodies), tuple(_texts(server.bodies))
    return outcome


def _status(step: Blocked, outcome: Outcome) -> int:
    """As gateway/chat.py answers it: a withheld answer is 200, unless no guard could say anything of its beginning."""
    begun = bool(outcome.client_saw)
    return 200 if step.on_answer and (begun or step.decision.code != GUARD_UNAVAILABLE) else step.decision.status


def _differences(expect: Expect, outcome: Outcome) -> list[str]:
    """One line for each thing that is not as expected."""
    found: list[tuple[str, object, object]] = [("action", outcome.action.name.lower(), expect.action)]
    found += [("code", outcome.code, expect.code)] if expect.code else []
    found += [("status", outcome.status, expect.status)] if expect.status else []
    if expect.rules is not None:
        found.append(("rules", _listed(outcome.rules), _listed(expect.rules)))
    if expect.shadow is not None:
        found.append(("shadow", _listed(outcome.shadow), _listed(expect.shadow)))
    if expect.flags is not None:
        found.append(("flags", _listed(outcome.flags), _listed(expect.flags)))
    if expect.annotations is not None:
        found.append(("annotations", _listed(outcome.annotations), _listed(expect.annotations)))
    for key in ("template", "route", "state", "because"):
        if (wanted := getattr(expect, key)) is not None:
            found.append((key, getattr(outcome, key) or "none", wanted))
    if expect.upstream_calls is not None:
        found.append(("upstream_calls", outcome.upstream_calls, expect.upstream_calls))
    lines = [f"`{key}` is `{got}`, expected `{wanted}`" for key, got, wanted in found if got != wanted]
    if expect.rule and expect.rule not in outcome.rules:
        lines.append(f"`{expect.rule}` is not among the deciding rules: `{_listed(outcome.rules)}`")
    for number, text in enumerate(expect.client_never_sees, 1):
        lines += [f"the client saw item {number} of `client_never_sees`"] if text in outcome.client_saw else []
    for number, text in enumerate(expect.audit_never_holds, 1):
        is_held = any(text in held for held in outcome.audit_holds)
        lines += [f"the audit holds item {number} of `audit_never_holds`"] if is_held else []
    for number, text in enumerate(expect.client_sees, 1):
        lines += [] if text in outcome.client_saw else [f"the client did not see item {number} of `client_sees`"]
    for number, text in enumerate(expect.upstream_sees, 1):
        was_seen = any(text in seen for seen in outcome.upstream_saw)
        lines += [] if was_seen else [f"the upstream did not see item {number} of `upstream_sees`"]
    return lines


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _request(policy: Policy, send: Send) -> ChatRequest:
    """Through bytes, because that is how requests come."""
    messages: list[Json] = [_message(message) for message in send.messages]
    body: dict[str, Json] = {"model": send.model, "messages": messages}
    if send.stream:
        body["stream"] = True
    if send.n > 1:
        body["n"] = send.n
    if send.requester:
        body["user"] = send.requester
    if send.seed is not None:
        body["seed"] = send.seed
    if send.tools:
        body["tools"] = [_tool(name, takes) for name, takes in send.tools]
    return parse_chat(dumps(body), policy.limits)


def _tool(name: str, takes: str) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": loads(takes.encode(), max_depth=_DEPTH)}}


def _message(message: Message) -> Json:
    body: dict[str, Json] = {"role": message.role, "content": message.text}
    return body | {"tool_call_id": "call-1"} if message.role == "tool" else body


def _texts(values: Sequence[Json]) -> list[str]:
    """Every text in some JSON."""
    found: list[str] = []
    for value in values:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            found += _texts(list(value.values()))
        elif isinstance(value, list):
            found += _texts(value)
    return found


class _Scripted:
    """A guard that says what the case says, and where the case says nothing: what the real rule says, or score 0."""

    def __init__(self, use: str, fakes: Sequence[Fake], real: Guard | None) -> None:
        self.identity = GuardIdentity(use, "rehearsal")
        self._fakes, self._real = fakes, real

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        said = [self._fake(part) for part in parts]
        for fake in said:
            if fake is not None and fake.error is not None:
                raise GuardError(self.identity.use, ErrorKind(fake.error), "the test says so")
        if self._real is not None:
            return await self._real.judge(parts, context)
        return [Verdict(0) if fake is None else Verdict(fake.score_ppm, fake.categories) for fake in said]

    def _fake(self, part: Part) -> Fake | None:
        return next((fake for fake in self._fakes if fake.scope in (None, part.scope)), None)


class _StillHeldError(Exception):
    """The votes of the case do not decide a review: there the case ends."""

    def __init__(self, decision: Decision) -> None:
        super().__init__("an exchange is held")
        self.decision = decision


class _Reviewers:
    """People who vote as the case says, at once."""

    def __init__(self, votes: Sequence[tuple[str, bool]], outcome: Outcome) -> None:
        self._votes, self._outcome = votes, outcome

    async def reviewed(
        self, log: Log, exchange: Exchange, decision: Decision, parts: Sequence[Part], person: str
    ) -> Decision:
        ballot = Ballot.of((review for _, review in decision.reviews), (exchange.caller.key_id, person))
        for name, approves in self._votes:
            ballot.cast(name, approves)
        self._outcome.state, self._outcome.because = str(ballot.state), ballot.because
        if ballot.state is State.PENDING:
            raise _StillHeldError(decision)
        return decision if ballot.state is State.APPROVED else refused(decision, ballot.state)


class _Records:
    """The log: a list. What the decisions in it amount to is what the case is about."""

    def __init__(self) -> None:
        self.written: list[Record] = []

    async def append(self, record: Record) -> int:
        self.written.append(record)
        return len(self.written) - 1

    def sum_up(self, outcome: Outcome) -> None:
        for record in self.written:
            decision = record.get("decision")
            if isinstance(decision, dict):
                self._add(decision, outcome)

    def _add(self, decision: Mapping[str, Json], outcome: Outcome) -> None:
        action, rules = Action[str(decision["action"]).upper()], decision["rules"]
        assert isinstance(rules, list)
        if action > outcome.action:
            outcome.rules.clear()
        if action >= outcome.action:
            outcome.action = action
            outcome.rules.update(map(str, rules))
        shadow = decision["shadow"]
        assert isinstance(shadow, list)
        outcome.shadow.update(str(note["rule"]) for note in shadow if isinstance(note, dict))
        outcome.flags.update(_each(decision.get("flags"), "queue"))
        outcome.annotations.update(_each(decision.get("annotations"), "field"))
        template, route = decision.get("template"), decision.get("route")
        outcome.template = template if isinstance(template, str) else outcome.template
        outcome.route = route if isinstance(route, str) else outcome.route


def _each(rows: Json, key: str) -> list[str]:
    return [str(row[key]) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


class _Server:
    """A model server that answers with the pieces of the case."""

    def __init__(self, said: Said) -> None:
        self.bodies: list[Json] = []
        self._said = said

    async def served_as(self, model: str) -> str:
        return model

    async def answer(self, body: bytes, *, stream: bool, choices: int) -> AsyncGenerator[AnswerEvent]:
        self.bodies.append(loads(body, max_depth=_DEPTH))
        for choice in range(choices):
            for chunk in self._said.chunks:
                yield TextDelta(choice, Channel.CONTENT, chunk)
                # Time for the other side to look; else all pieces arrive as one, and no window ends inside a case.
                await asyncio.sleep(0)
            for index, (name, arguments) in enumerate(self._said.tool_calls):
                yield ToolDelta(choice, index, f"call-{index}", name, arguments)
            yield Finish(choice, "tool_calls" if self._said.tool_calls else "stop")
