"""What the steps of an exchange share is fixed once it runs, and does not show its key."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gateway.disconnect import Client
from gateway.entries import Exchange
from gateway.exchange import Caller
from gateway.reviews import ReviewDesk
from gateway.running import Running
from gateway.steps import InForce
from gateway.transcript import NothingKept, Transcript
from gateway.wire import parse_chat
from guards.panel import Panel
from guards.verdict import Context
from policies.load import parse_policy
from policies.settings import Limits
from tests.doubles import MemoryAudit

KEY = b"key-of-a-tenant!" * 2
POLICY = b"""
gatehouse: policy/v1
name: careful
version: "1"
defaults: {stream: {mode: window, window: 64 tokens}}
detectors: {harm: {use: starter_hazard, threshold: 0.5}}
rules:
  - id: harm
    on: [output]
    when: {all: [{tenant: careful}, {harm: {unsafe: true}}]}
    stream: {mode: buffer}
    do: {block: {code: c}}
"""


def running(tenant: str = "t") -> Running:
    policy = parse_policy(POLICY, "p")
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    request = parse_chat(json.dumps(body).encode(), Limits())
    exchange = Exchange("id-1", Caller("k", tenant, "a"), "/v1/chat/completions", "engine", policy)
    return Running(
        audit=MemoryAudit(),
        exchange=exchange,
        in_force=InForce(policy, Panel({}), {}),
        request=request,
        context=Context.of(request.parts, tenant),
        client=Client(),
        transcript=Transcript(NothingKept(), exchange, KEY),
        key=KEY,
        reviewers=ReviewDesk(),
    )


@pytest.mark.parametrize(("tenant", "mode"), [("careful", "buffer"), ("other", "window")])
def test_how_an_answer_is_let_out_follows_from_policy_and_exchange(tenant: str, mode: str) -> None:
    assert running(tenant).stream.mode == mode


def test_it_is_fixed_and_does_not_show_the_key() -> None:
    made = running()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.key = b""  # type: ignore[misc] # that is what is tested
    assert repr(KEY) not in repr(made)
