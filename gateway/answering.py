"""An exchange from its admission on: windows judged, recorded, released, and exactly one closing record.

Each choice is decided by its own text. A block ends that choice and the others go on, as the client was told to expect
when it asked for several; a guard that gave no verdict, or a failure, ends the exchange. Whatever ends it early has a
code of its own in the closing record, which outlives the cancellation that may have brought it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final

from gateway.disconnect import unbroken
from gateway.errors import GatewayError
from gateway.exchange import AnswerEvent, Channel, Ended, Released, ReleasedText
from gateway.holdback import Holdback, ReleaseRule, Window
from gateway.jsonstrict import Json
from gateway.judgement import choice_rows, judged, overflow_records
from gateway.redaction import keeps_form
from gateway.rewrite import kept_parts
from gateway.running import Running
from gateway.steps import Admitted, Blocked, Step
from gateway.streaming import Windows
from guards.verdict import Finding
from policies.decide import merged, unredactable
from policies.model import GUARD_UNAVAILABLE, Action, Decision, Policy

_WHERE: Final = {
    "client_gone": "client",
    "shutting_down": "front",
    "internal_error": "front",
    "audit_unavailable": "audit",
}
"""Where a failure lay. All others are the model server's."""


class Answer:
    """One exchange's answer on its way out."""

    def __init__(self, running: Running) -> None:
        self._running, self._audit, self._exchange = running, running.audit, running.exchange
        self._in_force, self._request = running.in_force, running.request
        spec, policy = running.stream, running.in_force.policy
        self._mode = spec.mode if self._request.stream else "buffer"
        self._windowed, self._late = self._mode == "window", self._mode == "shadow_only"
        rule = ReleaseRule(
            mode=self._mode,
            window=spec.window_chars,
            holdback=spec.holdback_chars,
            max_chars=policy.limits.answer_chars,
            whole_runs=policy.redacts_answers,
            logprobs=self._request.logprobs,
        )
        self._held = Holdback(rule, self._request.n)
        self._windows = Windows(self._held, spec, windowed=self._mode != "buffer")
        self._admission: int | None = None
        self._judgings = 0
        self._blocked: dict[int, Decision] = {}
        self._closed = False
        self._left = 0
        """Characters that have left."""
        self._unjudged: list[Released] = []
        """What has left before it was judged, in `shadow_only`."""

    async def steps(
        self, admission: Coroutine[Any, Any, int], decision: Decision, events: AsyncGenerator[AnswerEvent]
    ) -> AsyncGenerator[Step]:
        """Admitted, then released text, in order, ending in Ended events or in Blocked. Raises GatewayError."""
        try:
            yield Admitted(await unbroken(self._admit(admission)), decision)
            async with aclosing(self._windows.of(events)) as windows:
                async for window in windows:
                    for step in self._let_go(window) if window.unjudged else await self._judge(window):
                        yield step
                    if self._closed and not window.final:
                        return
            if self._windows.usage is not None:
                yield self._windows.usage
        except GatewayError as exc:
            await self._abort(exc.code)
            raise
        except (asyncio.CancelledError, GeneratorExit) as exc:
            # The client went away, or we are shutting down. The record must outlive the cancellation that says so.
            with suppress(GatewayError):  # nobody is left who could be told
                await unbroken(self._abort(self._running.client.why_ended(exc)))
            raise
        finally:
            await self._abort("internal_error")

    async def _admit(self, admission: Coroutine[Any, Any, int]) -> int:
        self._admission = await admission
        return self._admission

    def _let_go(self, window: Window) -> list[Released]:
        """Text that the policy wants judged afterwards. The record of the admission is on disk and says so."""
        released = self._held.release(window, {choice: () for choice in window.choices})
        self._unjudged += released
        self._left = self._held.released_chars
        return released

    async def _judge(self, window: Window) -> list[Blocked | Released]:
        """What follows from one window, once that is on disk."""
        began = time.monotonic()
        findings = await self._in_force.find(window.parts, self._running.context)
        decisions = {choice: self._decide(window, choice, findings) for choice in window.choices}
        for choice in [choice for choice, decision in decisions.items() if decision.reviews]:
            decisions[choice] = await self._reviewed(window, choice, decisions[choice])
        blocked = {choice: decision for choice, decision in decisions.items() if decision.action is Action.BLOCK}
        self._blocked |= blocked
        failed = any(decision.code == GUARD_UNAVAILABLE for decision in blocked.values())
        closing = window.final or failed or not self._held.open_choices - blocked.keys()
        templates = [choice for choice in decisions if choice not in blocked and decisions[choice].template is not None]
        released = [] if failed else self._released(window, decisions, [*blocked, *templates], templates)
        number = await self._record(window, findings, decisions, closing, released)
        self._left = self._held.released_chars
        self._windows.judged(time.monotonic() - began)
        if failed:
            return [Blocked(number, merged(list(blocked.values())), on_answer=True)]
        steps: list[Blocked | Released] = list(self._ends(number, blocked))
        for choice in templates:
            self._held.drop(choice)
        return [*steps, *released]

    def _released(
        self, window: Window, decisions: Mapping[int, Decision], stopped: Sequence[int], templates: Sequence[int]
    ) -> list[Released]:
        """What leaves once the record of it is on disk; nobody has any of it before."""
        own = [said for choice in templates for said in from_template(self._in_force.policy, decisions[choice], choice)]
        passed = {choice: decision.redactions for choice, decision in decisions.items() if choice not in stopped}
        return [*own, *self._held.release(window, passed)]

    def _decide(self, window: Window, choice: int, findings: Sequence[Finding]) -> Decision:
        parts = window.parts_of(choice)
        decision = self._in_force.decide(findings, parts, self._exchange, self._request.model, released=self._late)
        cuts = decision.redactions
        if self._windowed and replaces_text(window, decision):
            return unredactable(decision)  # no policy that loads comes here: such a rule has the answer held whole
        if cuts and (not keeps_form(parts, cuts) or self._held.comes_too_late(window, cuts)):
            return unredactable(decision)
        return decision

    async def _reviewed(self, window: Window, choice: int, decision: Decision) -> Decision:
        """People see the choice whole before anything of it leaves."""
        parts, person = window.parts_of(choice), self._request.person
        return await self._running.reviewers.reviewed(self._audit, self._exchange, decision, parts, person)

    def _ends(self, number: int, blocked: Mapping[int, Decision]) -> list[Blocked]:
        """A block for each choice that one ended; the last one speaks for the exchange if no choice is left."""
        for choice in blocked:
            self._held.drop(choice)
        ends = [Blocked(number, decision, on_answer=True, choice=choice) for choice, decision in blocked.items()]
        if ends and not self._held.open_choices:
            ends[-1] = replace(ends[-1], choice=None)
        return ends

    async def _record(
        self,
        window: Window,
        findings: Sequence[Finding],
        decisions: Mapping[int, Decision],
        closing: bool,
        released: Sequence[Released],
    ) -> int:
        record = self._exchange.record(
            "response.complete" if closing else "response.progress", "complete" if closing else "progress"
        )
        policy = self._in_force.policy
        decision = merged(list(decisions.values()))
        overflow, fields = judged(findings, window.parts, decision, policy, self._in_force.identities)
        for earlier in overflow_records(self._exchange, overflow):
            await self._audit.append(earlier)
        self._judgings += 1
        stream = self._stream(closing and len(self._blocked) == self._request.n)
        target: Json = {"upstream": self._exchange.upstream, "model_req": self._request.model}
        record |= fields | {"admit": self._admission, "stream": stream, "target": target}
        if self._request.n > 1:
            record["choices"] = choice_rows({**decisions, **self._blocked})
        if closing and self._windows.usage is not None:
            record["usage"] = self._windows.usage.counts
        stopped = [choice for choice, decision in decisions.items() if decision.action is Action.BLOCK]
        withheld = {
            choice: list(kept_parts(window.parts_of(choice), decisions[choice].redactions)) for choice in stopped
        }
        record |= await self._running.transcript.answer([*self._unjudged, *released], withheld, closing=closing)
        return await unbroken(self._append(record, closing))

    async def _append(self, record: dict[str, Json], closing: bool) -> int:
        # A record that was handed over is written even if we are cancelled while waiting: no second end may follow it.
        number = await self._audit.append(record)
        self._closed = closing
        return number

    def _stream(self, blocked: bool) -> Json:
        late: dict[str, Json] = {"released_unjudged": self._left} if self._late else {}
        return late | {
            "mode": self._mode,
            "windows": self._judgings,
            "released": self._left,
            "received": self._held.received_chars,
            "ended_by": "policy" if blocked else "",
        }

    async def _abort(self, code: str) -> None:
        if self._closed or self._admission is None:
            return
        self._closed = True
        record = self._exchange.record("response.abort", "complete")
        err: Json = {"code": code, "where": _WHERE.get(code, "upstream")}
        record |= {"admit": self._admission, "stream": self._stream(False), "err": err}
        await self._audit.append(record)


def replaces_text(window: Window, decision: Decision) -> bool:
    """Whether a whole answer is to be replaced or to wait, or all text of a channel is to be replaced."""
    paths = {stretch.path for stretch in window.stretches}
    return (
        decision.template is not None
        or bool(decision.reviews)
        or any(cut.kind == "replace" and cut.path in paths for cut in decision.redactions)
    )


def from_template(policy: Policy, decision: Decision, choice: int) -> tuple[ReleasedText, Ended]:
    """A choice whose answer is the policy's own."""
    assert decision.template is not None
    return ReleasedText(choice, Channel.CONTENT, policy.templates[decision.template]), Ended(choice, "stop")
