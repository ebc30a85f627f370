"""What a policy costs: deciding, testing, replaying, reading.

    nice -n 10 .venv/bin/python -m bench.policy            all of it, as tables; a minute

Times are of the processor, the median of several rounds, so that a neighbour on the machine shows less. Growth is said
as a ratio: how much more four times as much costs. The rules are made here, in the shapes that the library uses;
findings are given, so no guard runs, but in the tests, where those without a model do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop

from gateway.judgement import judged
from gateway.rehearsal import Rehearsal
from gateway.replay import replay
from guards.verdict import Finding, GuardIdentity, Part, Scope, Verdict
from policies.decide import decide
from policies.lint import lint
from policies.load import load_policy, parse_policy
from policies.model import Facts, Policy
from policies.vocabulary import KNOWN_GUARDS

LIBRARY: Final = Path(__file__).parents[1] / "policies" / "library"
SHAPES: Final = (
    "{{id: r{n}, on: [user, history], when: {{inject: {{score: {{gte: 0.{n:05}}}}}}}, do: flag}}",
    "{{id: r{n}, on: [user, output], when: {{harm: {{category: [S1, S9]}}, app: a{n}}}, do: {{block: {{code: x}}}}}}",
    "{{id: r{n}, on: [user, tool_result], when: {{creds: {{count: {{gte: {n}}}}}}}, do: flag}}",
    "{{id: r{n}, on: [user], when: {{any: [{{harm: {{unsafe: true}}}}, {{app: a{n}}}]}}, "
    "do: {{annotate: {{field: f{n}}}}}}}",
)
TOP: Final = """\
gatehouse: policy/v1
name: bench
version: "1"
detectors:
  inject: {use: starter_injection, threshold: 0.5}
  harm: {use: starter_hazard, threshold: 0.5}
  creds: {use: secrets, find: [jwt, private_key]}
rules:
- {id: pass, on: [system, user, history, tool_result, output], do: allow}
"""


def made(rules: int) -> str:
    """A policy with so many rules besides `pass`."""
    return TOP + "".join(f"- {SHAPES[n % len(SHAPES)].format(n=n)}\n" for n in range(1, rules + 1))


def exchange(policy: Policy, parts: int, others: Scope) -> tuple[list[Finding], Facts]:
    """An ordinary one: a newest turn and other parts, low scores from models, and nothing found by other detectors."""
    scopes = [Scope.USER if n == 0 else others for n in range(parts)]
    told = tuple(Part(scope, f"/messages/{n}/content", "user", "text") for n, scope in enumerate(scopes))
    found = [
        Finding(spec.name, part, Verdict(3 if KNOWN_GUARDS[spec.use].is_model else 0))
        for part in told
        for spec in policy.detectors_for(part.scope)
    ]
    return found, Facts(told, "clinic", "chat", "scout")


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The median round: of processor time, and without the first, which warms up."""
    work()
    spent = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return median(spent)


def deciding() -> Iterable[str]:
    spent: dict[tuple[int, int], float] = {}
    for rules in (10, 100, 400, 1000):
        policy = parse_policy(made(rules).encode(), "bench")
        for parts in (1, 4, 16):
            findings, facts = exchange(policy, parts, Scope.USER)  # at which all rules look
            turns = max(1, 4000 // (rules * parts))
            one = (
                seconds(lambda p=policy, f=findings, a=facts, t=turns: [decide(p, f, a) for _ in range(t)], 41) / turns
            )  # type: ignore[misc]
            spent[rules, parts] = one
            yield f"decide, {rules:>5} rules, {parts:>2} parts: p50 {one * 1e6:>8.1f} us"
    for (rules, parts), (more_rules, more_parts) in (
        ((100, 4), (400, 4)),
        ((100, 4), (100, 16)),
        ((100, 4), (400, 16)),
    ):
        ratio = spent[more_rules, more_parts] / spent[rules, parts]
        more = more_rules * more_parts // (rules * parts)
        told = f"{rules} x {parts} -> {more_rules} x {more_parts}"
        yield f"growth: {more:>2} times the rules x parts cost {ratio:.1f} times as much ({told})"


def testing() -> Iterable[str]:
    for file in sorted(LIBRARY.glob("*.yaml")):
        policy = load_policy(file)
        rehearsal = Rehearsal(policy)

        async def all_cases(policy: Policy = policy, rehearsal: Rehearsal = rehearsal) -> None:
            for _ in range(5):
                await rehearsal.run_all()

        spent = seconds(lambda work=all_cases: uvloop.run(work()), 7) / 5  # type: ignore[misc]
        rate = f"{len(policy.cases) / spent:>6.0f} a second"
        yield f"tests of {file.name:<20} {len(policy.cases):>3} in {spent * 1e3:>6.1f} ms: {rate}"


def replaying() -> Iterable[str]:
    policy = load_policy(LIBRARY / "default.yaml")
    identities = {spec.name: GuardIdentity(spec.use, f"{spec.use}/1") for spec in policy.detectors.values()}
    for parts in (1, 4):
        findings, facts = exchange(policy, parts, Scope.HISTORY)
        _, fields = judged(findings, facts.parts, decide(policy, findings, facts), policy, identities)
        record: dict[str, Any] = {
            "type": "request.admit",
            "seq": 7,
            "req": "r",
            "tenant": "clinic",
            "app": "chat",
            **fields,
        }
        lines = [json.dumps(record | {"seq": n, "ts": str(n)}) for n in range(2000)]
        result = replay(policy, map(json.loads, lines))
        if (result.decisions, result.flipped) != (2000, 0):
            raise AssertionError("a replay under the same policy has to come out as it was")
        spent = seconds(lambda told=lines: replay(policy, map(json.loads, told)), 9)  # type: ignore[misc]
        yield f"replay, {parts} parts, {len(lines[0])} bytes a record: {2000 / spent:>7.0f} decisions a second"


def reading() -> Iterable[str]:
    return growing("reading", lambda data: parse_policy(data, "bench"), 3)


def linting() -> Iterable[str]:
    """All checks, reading included, which is done twice: once for the policy, once for the places of what it says."""
    return growing("linting", lambda data: lint(data, "bench"), 1)


def growing(name: str, work: Callable[[bytes], object], rounds: int) -> Iterable[str]:
    """What it costs for so many rules, and how much more for four times as many."""
    spent = {}
    for rules in (625, 2500, 9999):
        text = made(rules).encode()
        spent[rules] = seconds(lambda data=text: work(data), rounds)  # type: ignore[misc]
        yield f"{name} {rules + 1:>5} rules, {len(text) / 1024:>4.0f} KiB: {spent[rules]:.2f} s"
    once, twice = spent[2500] / spent[625], spent[9999] / spent[2500]
    yield f"growth: 4 times the rules cost {once:.1f}, and again {twice:.1f} times as much"


def main() -> None:
    for part in (deciding, testing, replaying, reading, linting):
        for line in part():
            print(line, flush=True)


if __name__ == "__main__":
    main()
