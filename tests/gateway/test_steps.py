"""A policy in force judges parts and concludes, together or apart; its deadline is that of its slowest detector."""

from __future__ import annotations

from dataclasses import replace

from gateway.entries import Exchange
from gateway.exchange import Caller
from gateway.steps import InForce
from guards.panel import Panel
from guards.verdict import NO_CONTEXT, Part, Scope
from policies.load import parse_policy
from policies.model import Action
from tests.gateway.live import in_force, policy

EXCHANGE = Exchange("id", Caller("k", "t", "a"), "/", "engine", policy())


def part(path: str, text: str) -> Part:
    return Part(Scope.OUTPUT, path, "assistant", text)


async def test_findings_of_one_judging_are_decided_part_by_part() -> None:
    good, bad = part("/choices/0/message/content", "fine"), part("/choices/1/message/content", "BAD")
    judged = in_force()
    findings = await judged.find([good, bad], NO_CONTEXT)
    assert judged.decide(findings, [good], EXCHANGE, "m").action is Action.ALLOW
    assert judged.decide(findings, [bad], EXCHANGE, "m").action is Action.BLOCK
    assert (await judged.judge([good, bad], EXCHANGE, "m", NO_CONTEXT))[1].action is Action.BLOCK


def test_no_part_waits_longer_than_the_slowest_detector_may_take() -> None:
    text = """
gatehouse: policy/v1
name: waits
version: "1"
detectors: {a: {use: unicode, timeout: 3s}, b: {use: special_tokens, timeout: 7s}}
rules: [{id: r, on: [user], when: {any: [{a: {count: {gte: 1}}}, {b: {count: {gte: 1}}}]}, do: flag}]
"""
    assert InForce(parse_policy(text.encode(), "p"), Panel({}), {}).longest_wait_s == 7.0
    nothing = "gatehouse: policy/v1\nname: n\nversion: '1'\ndetectors: {}\nrules: [{id: r, on: [user], do: allow}]\n"
    assert InForce(parse_policy(nothing.encode(), "p"), Panel({}), {}).longest_wait_s == 1.0


async def test_who_watches_learns_of_each_decision_and_changes_none() -> None:
    judged, seen = in_force(), []
    watched = replace(judged, told=lambda findings, facts, decision: seen.append((findings, facts, decision)))
    bad = part("/choices/0/message/content", "BAD")
    findings = await watched.find([bad], NO_CONTEXT)
    decision = watched.decide(findings, [bad], EXCHANGE, "m")
    [(told, facts, said)] = seen
    assert (told, facts.parts, said) == (findings, (bad,), decision)
    assert decision == judged.decide(findings, [bad], EXCHANGE, "m")
