"""Where an explanation gets its findings: from the guards, now, or from the audit log, as they were recorded.

A request is read as the gateway reads it and judged by the same guards, with their memory off; a recorded exchange is
decided again from its scores (gateway/replay.py). Neither answers anybody, and neither writes a record.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.audit.lookup import stored_line, stored_lines
from gateway.config import load_config
from gateway.entries import Exchange
from gateway.evaluate.detectors import bench, of_policy
from gateway.evaluate.session import model_sources
from gateway.exchange import Caller, ChatRequest
from gateway.given_scores import Given, given_findings
from gateway.replay import FINDINGS, REPLAYED, evidence
from gateway.wire import parse_chat
from guards.panel import Panel
from guards.registry import RULES
from guards.verdict import Context, Finding, Scope
from policies.explain import Explanation, explain
from policies.model import DetectorSpec, Policy

PATIENCE_S = 60.0
"""For one detector, whatever the policy says: its first call also warms a model that has just been started."""


@dataclass(frozen=True, slots=True)
class Guards:
    """What judges a request, besides the rule guards, which run for real unless their scores are given."""

    config: Path | None
    """The configuration that says where models run; None: no model is asked."""
    given: Given
    program: tuple[str, ...] | None = None
    """What runs the model host; None for our own."""


@dataclass(frozen=True, slots=True)
class _Patient:
    """A detector with time."""

    name: str
    timeout_s: float = PATIENCE_S


async def explain_request(
    policy: Policy, body: bytes, caller: Caller, upstream_class: str, guards: Guards
) -> Explanation:
    """Raises BadRequest for a body that the gateway refuses, EvaluationError or FileErrors when a model cannot run."""
    request = parse_chat(body, policy.limits)
    findings = given_findings(guards.given, policy, request.parts)
    findings += await _judged(policy, request, caller.tenant, guards)
    exchange = Exchange("", caller, "", "engine", policy, upstream_class).concerning(request)
    return explain(policy, findings, exchange.facts(request.parts, request.model, int(time.time())))


async def _judged(policy: Policy, request: ChatRequest, tenant: str, guards: Guards) -> list[Finding]:
    asked = _asked(policy, {part.scope for part in request.parts}, guards)
    config = load_config(guards.config) if guards.config else None
    async with AsyncExitStack() as stack:
        sources: Mapping[str, Any] = {}
        models = [spec.use for spec in asked.values() if spec.use not in RULES]
        if config is not None and models:
            sources = await stack.enter_async_context(model_sources(models, config, guards.program))
        wanted = of_policy(policy, tuple(asked))
        panel = Panel({one.name: bench(one, sources).guard for one in wanted})
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        context = Context.of(request.parts, tenant)

        def about(scope: Scope) -> list[_Patient]:
            return [_Patient(spec.name) for spec in policy.detectors_for(scope) if spec.name in asked]

        return await panel.judge(request.parts, about, deadline, context)


def _asked(policy: Policy, scopes: Iterable[Scope], guards: Guards) -> dict[str, DetectorSpec]:
    """The detectors that these parts need and that no given score stands in for."""
    needed = {spec.name: spec for scope in scopes for spec in policy.detectors_for(scope)}
    return {
        name: spec
        for name, spec in sorted(needed.items())
        if name not in guards.given and (spec.use in RULES or guards.config is not None)
    }


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision in the log with the finding rows that were written before it."""

    record: Mapping[str, Any]
    earlier: list[dict[str, Any]]

    def explained(self, policy: Policy) -> Explanation:
        """Raises NotReplayable when the record does not say enough."""
        return explain(policy, *evidence(policy, self.record, self.earlier))


def recorded(directory: Path, wanted: str) -> Sequence[Recorded]:
    """The decisions with this number, or of the request with this id, in the order of the log."""
    request = _request_of(directory, wanted)
    named = json.dumps(request, ensure_ascii=False).encode()
    found: list[Recorded] = []
    rows: list[dict[str, Any]] = []
    # Reading a long log is looking for these bytes: what does not hold them is not parsed.
    for record in (_parsed(line) for line in stored_lines(directory) if named in line):
        if record.get("req") != request:
            continue
        if record.get("type") == FINDINGS:
            rows += (row for row in record.get("rows", []) if isinstance(row, dict))
        elif record.get("type") in REPLAYED and "guards" in record:
            if wanted in (request, str(record.get("seq"))):
                found.append(Recorded(record, rows))
            rows = []
    return found


def _request_of(directory: Path, wanted: str) -> str:
    """The id of the request to whose records a number belongs; what is no number of a record is an id already."""
    if not wanted.isascii() or not wanted.isdigit():
        return wanted
    try:
        return str(_parsed(stored_line(directory, int(wanted))).get("req", wanted))
    except LookupError:
        return wanted


def _parsed(line: bytes) -> Mapping[str, Any]:
    """Empty for a line that is no record, which is for `audit verify` to say."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
