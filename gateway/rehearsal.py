"""The tests in a policy file, run through the real exchange: reader, guards' panel, decision, hold-back, release.

Only three things are scripted: the models behind guards (a model that a case does not fake gives score 0), the model
server, and the log, which is a list. Guards without a model are the real ones. So a case that passes here says what a
client would have got. Reports name places, rules and codes, and never the texts of a case.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import uvloop

from gateway.dialects import status_of
from gateway.entries import Exchange
from gateway.errors import GatewayError
from gateway.exchange import Caller, ChatRequest, ReleasedCalls, ReleasedText
from gateway.jsonstrict import Json, dumps, loads
from gateway.outcome import Outcome, differences
from gateway.pipeline import Blocked, InForce, Pipeline
from gateway.stand_ins import Keeping, Reviewing, Scripted, Server, StillHeldError, Written, remembering
from gateway.wire import parse_chat
from guards.panel import Panel
from guards.registry import RULES, build
from guards.verdict import Guard
from policies.cases import Case, Fake, Faked, Message, Send
from policies.model import Action, DetectorSpec, Policy

_PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNoaGgAAAMEAYFL09IQAAAAAElFTkSuQmCC"
)
"""One grey pixel: guards that see are scripted in tests, so what it shows does not matter."""
_KEY = b"rehearsal keys protect no content"
_DEPTH = 64


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

    def __init__(self, policy: Policy, like: Rehearsal | None = None) -> None:
        """`like` is the rehearsal of a policy with some of the same detectors, whose guards serve again."""
        self._policy = policy
        self._real: dict[tuple[str, str], Guard] = dict(like._real) if like else {}
        for name, spec in policy.detectors.items():
            if spec.use in RULES and (name, spec.asks) not in self._real:
                self._real[name, spec.asks] = remembering(build(spec.use, spec.options, {}))
        self._unfaked = {name: self._guard(spec, ()) for name, spec in policy.detectors.items()}
        self._panel = Panel(self._unfaked)

    async def run(self, case: Case) -> Rehearsed:
        """Run one case. Never raises for what is in it."""
        begun = time.perf_counter()
        outcome = await _played(self._policy, self._in_force(case), case)
        found, seconds = differences(case.expect, outcome), time.perf_counter() - begun
        return Rehearsed(case, found, frozenset(outcome.rules), frozenset(outcome.shadow), seconds)

    async def run_all(self) -> tuple[Rehearsed, ...]:
        """Every case of the policy, in order."""
        return tuple([await self.run(case) for case in self._policy.cases])

    async def first_failing(self, cases: Iterable[Case]) -> Rehearsed | None:
        """The first of these that does not pass."""
        for case in cases:
            if not (rehearsed := await self.run(case)).passed:
                return rehearsed
        return None

    def _in_force(self, case: Case) -> InForce:
        guards, panel = self._unfaked, self._panel
        if faked := {fake.detector for fake in case.faked.fakes}:
            specs = self._policy.detectors
            guards = guards | {name: self._guard(specs[name], case.faked.fakes) for name in faked if name in specs}
            panel = Panel(guards)
        at = case.faked.at
        clock = time.time if at is None else lambda: float(at)
        return InForce(self._policy, panel, {name: guard.identity for name, guard in guards.items()}, clock=clock)

    def _guard(self, spec: DetectorSpec, fakes: Sequence[Fake]) -> Guard:
        real = self._real.get((spec.name, spec.asks))
        own = [fake for fake in fakes if fake.detector == spec.name]
        return real if real is not None and not own else Scripted(spec.use, own, real)


def results_of(policy: Policy) -> tuple[Rehearsed, ...]:
    """All tests of the policy. Blocks: not for an event loop."""
    return uvloop.run(Rehearsal(policy).run_all())


def failing(policy: Policy) -> list[Rehearsed]:
    """The tests of the policy that do not pass. Blocks: not for an event loop."""
    return [case for case in results_of(policy) if not case.passed]


async def _played(policy: Policy, in_force: InForce, case: Case) -> Outcome:
    """What comes of the exchange. It may end before its time, by an error or where it is held."""
    faked = case.faked
    outcome, log, server, keeper = Outcome(), Written(_places(policy, faked)), Server(faked.upstream), Keeping()
    caller = Caller("rehearsal", case.send.tenant, case.send.app, dict(case.send.claims))
    exchange = Exchange("rehearsal", caller, "", "rehearsal", policy, faked.upstream.class_)
    pipeline = Pipeline(server, _KEY, keeper, Reviewing(faked, outcome, in_force.clock))
    failed: GatewayError | StillHeldError | None = None
    try:
        request = _request(policy, case.send)
        async for step in pipeline.run(log, exchange, in_force, request):
            if isinstance(step, Blocked):
                outcome.code = step.decision.code
                outcome.status = status_of(step, begun=bool(outcome.client_saw))
                outcome.client_saw += step.decision.message or ""
            elif isinstance(step, ReleasedText):
                outcome.client_saw += step.text
            elif isinstance(step, ReleasedCalls):
                outcome.client_saw += "".join(call.name + call.arguments for call in step.calls)
    except (GatewayError, StillHeldError) as exc:
        failed = exc
    if isinstance(failed, GatewayError):
        outcome.action, outcome.code, outcome.status = Action.BLOCK, failed.code, failed.status
    outcome.sum_up(log.written)
    if isinstance(failed, StillHeldError):
        outcome.action, outcome.rules = Action.REVIEW, {rule for rule, _ in failed.decision.reviews}
    outcome.audit_holds = [*keeper.kept, *log.written]
    outcome.audit = "sealed" if keeper.kept else "none"
    outcome.upstream_calls, outcome.upstream_saw = len(server.bodies), server.bodies
    return outcome


def _places(policy: Policy, faked: Faked) -> bool:
    """Whether the log has as many places to write to as the policy wants."""
    return faked.sinks_up is None or faked.sinks_up >= max(1, policy.audit.sinks)


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
    if message.role == "image":
        return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": _PICTURE}}]}
    body: dict[str, Json] = {"role": message.role, "content": message.text}
    return body | {"tool_call_id": "call-1"} if message.role == "tool" else body
