"""A request that rules send elsewhere is held to what the policy says of where it arrives; the record tells both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.entries import Exchange
from gateway.errors import Unavailable
from gateway.exchange import Caller
from gateway.pipeline import InForce, Pipeline
from gateway.replay import redecide
from gateway.steps import Place
from gateway.upstream import unknown_model
from gateway.wire import parse_chat
from guards.panel import Panel
from guards.registry import build
from policies.load import parse_policy
from policies.settings import Limits
from tests.doubles import MemoryAudit, ScriptedServer
from tests.gateway.test_pipeline import say

POLICY = """
gatehouse: policy/v1
name: places
version: 1.0.0
owner: tests@gatehouse.example
defaults: {stream: {mode: buffer}}
detectors:
  code: {use: regex, pattern: 'EX-\\d+', label: code}
  hard: {use: regex, pattern: 'prove'}
  secret: {use: regex, pattern: 'secret'}
  loop: {use: regex, pattern: 'loop'}
rules:
  - {id: hard, on: [user], when: {hard: {count: {gte: 1}}}, do: {route: {model: big}}}
  - id: codes-leave-as-stars
    on: [user]
    when: {all: [{code: {count: {gte: 1}}}, {upstream: {class: external}}]}
    do: {redact: {as: "[{label}]"}}
  - id: secrets-stay
    on: [user]
    when: {all: [{secret: {count: {gte: 1}}}, {upstream: {class: external}}]}
    do: {route: {model: small, engine: house}}
  - id: around
    on: [user]
    when: {all: [{loop: {count: {gte: 1}}}, {upstream: {class: local}}]}
    do: {route: {model: big}}
  - id: and-around
    on: [user]
    when: {all: [{loop: {count: {gte: 1}}}, {upstream: {class: external}}]}
    do: {route: {model: small}}
  - id: heard
    on: [output]
    when: {upstream: {class: external}}
    do: {annotate: {field: said_outside}}
  - {id: pass, on: [user, output], do: allow}
"""


class Two:
    """A house engine with `small`, an external one with `big`, and what each was sent."""

    def __init__(self) -> None:
        self.house, self.cloud = ScriptedServer(*say("fine")), ScriptedServer(*say("fine"))

    async def place(self, model: str, engine: str = "") -> Place:
        if model == "small" and engine in ("", "house"):
            return Place(self.house, "house/small", "house", "local")
        if model == "big" and engine in ("", "cloud"):
            return Place(self.cloud, "org/Big", "cloud", "external")
        raise unknown_model()


class Ours(Two):
    """`small` is served by our own model host."""

    async def place(self, model: str, engine: str = "") -> Place:
        return replace(await super().place(model, engine), is_ours=model == "small")


class Sent:
    def __init__(self, policy: str = POLICY) -> None:
        self.policy = parse_policy(policy.encode(), "p.yaml")
        guards = {name: build(spec.use, spec.options, {}) for name, spec in self.policy.detectors.items()}
        self.in_force = InForce(self.policy, Panel(guards), {name: one.identity for name, one in guards.items()})
        self.two, self.audit = Two(), MemoryAudit()

    async def send(self, text: str, model: str = "small", tenant: str = "t") -> Sent:
        body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "{text}"}}]}}'
        request = parse_chat(body.encode(), Limits())
        exchange = Exchange("id-1", Caller("k", tenant, "a"), "/v1/chat/completions", "house", self.policy, "local")
        self.steps = [s async for s in Pipeline(self.two, b"k" * 32).run(self.audit, exchange, self.in_force, request)]
        return self

    @property
    def admitted(self) -> dict[str, Any]:
        return self.audit.records[0]

    def said_to(self, server: ScriptedServer) -> list[tuple[str, str]]:
        return [(body["model"], body["messages"][0]["content"]) for body in server.bodies]


async def test_a_model_is_asked_where_it_is_served_and_the_facts_are_of_that_place() -> None:
    sent = await Sent().send("about EX-12", model="big")
    assert sent.said_to(sent.two.cloud) == [("org/Big", "about [code]")]
    assert sent.said_to(sent.two.house) == []
    assert sent.admitted["target"] == {"upstream": "cloud", "model_req": "big", "model_served": "org/Big"}
    assert sent.admitted["facts"]["upstream_class"] == "external"


async def test_what_must_not_leave_is_cut_out_after_a_route_to_the_outside() -> None:
    sent = await Sent().send("prove EX-12")
    assert sent.said_to(sent.two.cloud) == [("org/Big", "prove [code]")]
    assert sent.said_to(sent.two.house) == []
    assert sent.admitted["target"] == {
        "upstream": "cloud",
        "model_req": "small",
        "model_served": "org/Big",
        "via": [{"upstream": "house", "class": "local"}],
    }
    assert sent.admitted["decision"]["route"] == "big"
    [complete] = [record for record in sent.audit.records if record["type"] == "response.complete"]
    assert complete["target"]["upstream"] == "cloud"
    assert complete["facts"]["upstream_class"] == "external"
    assert complete["decision"]["action"] == "annotate"


async def test_what_comes_back_inside_keeps_what_it_said() -> None:
    sent = await Sent().send("secret EX-12", model="big")
    assert sent.said_to(sent.two.house) == [("house/small", "secret EX-12")]
    assert sent.said_to(sent.two.cloud) == []
    assert sent.admitted["target"]["via"] == [{"upstream": "cloud", "class": "external"}]


async def test_rules_that_send_a_request_in_a_circle_send_it_nowhere() -> None:
    sent = Sent()
    with pytest.raises(Unavailable, match="in a circle"):
        await sent.send("loop")
    assert sent.audit.records == []
    assert sent.two.house.bodies == sent.two.cloud.bodies == []


async def test_a_model_that_is_not_at_the_engine_is_503() -> None:
    with pytest.raises(Unavailable) as error:
        await Sent(POLICY.replace("route: {model: big}", "route: {model: big, engine: house}")).send("prove it")
    assert error.value.code == "route_unavailable"


@pytest.mark.parametrize(("text", "model"), [("prove EX-1", "small"), ("secret EX-1", "big"), ("EX-1", "small")])
async def test_the_record_is_enough_to_decide_it_again(text: str, model: str) -> None:
    sent = await Sent().send(text, model)
    again, was = redecide(sent.policy, sent.admitted | {"seq": 0}), sent.admitted["decision"]
    assert (again.action.name.lower(), list(again.rules)) == (was["action"], was["rules"])
    assert (again.route or None) == was.get("route")
    assert len(again.redactions) == len(sent.admitted.get("transform", []))


async def test_our_own_model_host_is_told_to_keep_tenants_apart_and_no_other_server_is() -> None:
    sent = Sent()
    sent.two = Ours()
    for tenant, model in (("clinic", "small"), ("school", "small"), ("clinic", "small"), ("clinic", "big")):
        await sent.send("hello", model, tenant)
    first, second, again = (body["cache_salt"] for body in sent.two.house.bodies)
    assert first == again != second
    assert "clinic" not in first
    assert sent.said_to(sent.two.house)[0] == ("house/small", "hello")
    assert "cache_salt" not in sent.two.cloud.bodies[0]
