"""One result for each input, in order, by a fixed table; and never "not flagged" from a guard that did not answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.entries import Exchange
from gateway.errors import BadRequest
from gateway.exchange import Caller
from gateway.jsonstrict import Json
from gateway.moderations import _CATEGORIES, MAX_INPUTS, moderate, read_inputs
from gateway.pipeline import InForce
from gateway.transcript import Keeper
from guards.errors import ErrorKind
from guards.panel import Panel
from guards.profiles.taxonomy import HAZARDS
from guards.registry import build
from guards.verdict import PPM, Guard, Scope, Verdict
from policies.load import parse_policy
from tests.doubles import MemoryAudit, MemoryLog
from tests.gateway.live import Live, head, in_force, until
from tests.gateway.test_transcript import ListKeeper

CANARY = "canary-of-a-moderation"
KEEPS = b"""
gatehouse: policy/v1
name: keeps
version: "1"
detectors: {pan: {use: entities, find: [credit_card]}}
rules:
  - {id: pan, on: [user], when: {pan: {count: {gte: 1}}}, do: {redact: {as: "[pan]", before_audit: true}}}
"""
OPENAI_CATEGORIES = {
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
}  # fmt: skip


def hazard(score: float, **categories: float) -> Verdict:
    return Verdict(round(score * PPM), tuple((code, round(value * PPM)) for code, value in sorted(categories.items())))


def ask(live: Live, input_: Any, **more: Any) -> httpx.Response:
    return live.post({"input": input_} | more, "/v1/moderations")


def test_each_input_has_its_result_in_order(live: Live) -> None:
    live.in_force = in_force(harm={"VIOLENT": hazard(0.9, S1=0.9), "HATEFUL": hazard(0.8, S10=0.7)})
    inputs = ["fine", "VIOLENT", {"type": "text", "text": "HATEFUL"}, "fine", "VIOLENT"]
    body = ask(live, inputs, model="omni-moderation-latest").json()
    assert [row["flagged"] for row in body["results"]] == [False, True, True, False, True]
    assert body["results"][1]["categories"]["violence"]
    assert not body["results"][1]["categories"]["hate"]
    assert body["results"][2]["category_scores"]["hate"] == 0.7
    assert body["id"].startswith("modr-")
    assert live.types() == ["moderation.complete"]
    assert live.server.bodies == []


def test_a_result_has_the_shape_that_sdks_read(live: Live) -> None:
    [row] = ask(live, "fine").json()["results"]
    for key in ("categories", "category_scores", "category_applied_input_types"):
        assert row[key].keys() == OPENAI_CATEGORIES
    assert {type(value) for value in row["categories"].values()} == {bool}
    assert {type(value) for value in row["category_scores"].values()} <= {float, int}


def test_the_table_maps_hazards_to_openai_names(live: Live) -> None:
    names = dict(HAZARDS)
    codes = list(names)
    live.in_force = in_force(harm={f"<{code}>": hazard(1, **{code: 0.75}) for code in codes})
    results = ask(live, [f"<{code}>" for code in codes]).json()["results"]
    for code, row in zip(codes, results, strict=True):
        named = {category for category, mapped in _CATEGORIES.items() if names[code] in mapped}
        assert named or code in ("S6", "S7", "S8", "S13")
        assert {category for category, flagged in row["categories"].items() if flagged} == named
        assert {category: score for category, score in row["category_scores"].items() if score} == dict.fromkeys(
            named, 0.75
        )
        assert row["gatehouse"]["hazards"] == {code: {"name": names[code], "flagged": True, "score": 0.75}}


def test_thresholds_are_those_of_the_policy(live: Live) -> None:
    """Of the whole verdict 0.5; of a category 0.5, and 0.2 for S9."""
    live.in_force = in_force(
        harm={"under": hazard(0.49, S1=0.9), "over": hazard(0.5, S1=0.49, S9=0.2), "S9": hazard(0.9, S9=0.19)}
    )
    under, over, low = ask(live, ["under", "over", "S9"]).json()["results"]
    assert not under["flagged"]
    assert not under["gatehouse"]["hazards"]["S1"]["flagged"]
    assert over["flagged"]
    assert {code: row["flagged"] for code, row in over["gatehouse"]["hazards"].items()} == {"S1": False, "S9": True}
    assert low["flagged"]
    assert not low["gatehouse"]["hazards"]["S9"]["flagged"]


def test_an_unsafe_verdict_without_a_category_is_flagged(live: Live) -> None:
    live.in_force = in_force(harm={"x": Verdict(PPM)})
    [row] = ask(live, "x").json()["results"]
    assert row["flagged"]


def test_a_prompt_attack_is_flagged_under_our_own_key(live: Live) -> None:
    live.in_force = in_force(attack={"ignore": Verdict(700_000)})
    attack, fine = ask(live, ["ignore", "fine"]).json()["results"]
    assert (attack["flagged"], fine["flagged"]) == (True, False)
    assert attack["gatehouse"]["prompt_attack"] == {"flagged": True, "score": 0.7}
    assert not any(attack["categories"].values())


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_a_guard_without_a_verdict_is_503_for_all_inputs(live: Live, kind: ErrorKind) -> None:
    live.in_force = in_force(attack={"LOST": kind})
    response = ask(live, ["fine", "LOST"])
    assert (response.status_code, response.json()["error"]["code"]) == (503, "guard_unavailable")
    assert "flagged" not in response.text
    assert live.types() == ["moderation.complete"], "the failure is in the log, once"


@pytest.mark.parametrize(
    "body",
    [{}, {"input": []}, {"input": None}, {"input": 5}, {"input": [5]}, {"input": [["x"]]}, {"input": ["x"] * 65},
     {"input": "x", "extra": CANARY}, {"input": [{"type": "image_url", "image_url": {"url": CANARY}}]},
     {"input": [{"type": "text", "text": CANARY, "more": 1}]}, {"input": "x" * 20_001}, {"input": "x", "model": 5}],
)  # fmt: skip
def test_inputs_that_cannot_be_judged_are_refused_and_recorded(live: Live, body: dict[str, Any]) -> None:
    response = live.post(body, "/v1/moderations")
    assert response.status_code == 400
    assert CANARY not in response.text
    [record] = live.records
    assert (record["type"], record["http"]["route"]) == ("request.refuse", "/v1/moderations")


@pytest.mark.parametrize("item", [5, None, ["x"], {}, {"type": "image_url", "image_url": {"url": "https://a.example"}}])
def test_an_input_that_is_no_text_is_told_as_one(live: Live, item: object) -> None:
    """A field that only pictures have is not unknown: it cannot be judged, and the code says so."""
    error = live.post({"input": ["fine", item]}, "/v1/moderations").json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_content", "input[1]")


def test_records_hold_scores_and_no_text(live: Live) -> None:
    ask(live, [f"BAD {CANARY}"])
    assert CANARY not in json.dumps(live.records)
    [guard] = [row for row in live.records[0]["guards"] if row["name"] == "harm"]
    assert guard["rows"][0]["score_ppm"] == PPM


def test_a_result_without_a_record_is_not_given() -> None:
    with Live(log=MemoryLog(fail_from=0)) as live:
        response = ask(live, "fine")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "audit_unavailable")


@pytest.mark.parametrize(("guard_s", "slow_s"), [(0.3, 0.0), (0.0, 0.3)])
def test_a_client_that_hangs_up_leaves_one_record(live: Live, guard_s: float, slow_s: float) -> None:
    live.in_force, live.log.slow_s = in_force(guard_s), slow_s
    body = json.dumps({"input": "x"}).encode()
    with live.connect() as sock:
        sock.sendall(head(len(body), "/v1/moderations") + body)
        until(lambda: live.metric("gatehouse_in_flight") == 1)
    until(lambda: live.metric("gatehouse_in_flight") == 0)
    until(lambda: len(live.records) == 1)
    assert live.records[0]["stage"] == "complete"


@given(st.one_of(st.text(), st.lists(st.text(), max_size=MAX_INPUTS + 2)))
def test_every_text_is_a_part_in_its_place_or_the_request_is_refused(input_: str | list[str]) -> None:
    texts = [input_] if isinstance(input_, str) else input_
    try:
        parts = read_inputs(json.dumps({"input": input_}).encode(), 500)
    except BadRequest:
        assert not 1 <= len(texts) <= MAX_INPUTS or sum(map(len, texts)) > 500
        return
    assert [part.text for part in parts] == texts
    assert [part.path for part in parts] == [f"/input/{number}" for number in range(len(texts))]
    assert {part.scope for part in parts} == {Scope.USER}


async def moderated(policy_text: bytes, body: bytes, audit: MemoryAudit, keeper: Keeper | None = None) -> bytes:
    """By a policy whose detectors need no model."""
    policy = parse_policy(policy_text, "p")
    guards: dict[str, Guard] = {name: build(spec.use, spec.options, {}) for name, spec in policy.detectors.items()}
    in_force = InForce(policy, Panel(guards), {name: guard.identity for name, guard in guards.items()})
    exchange = Exchange("id-1", Caller("k", "t", "a"), "/v1/moderations", "engine", policy)
    return await moderate(exchange, in_force, read_inputs(body, 1000), audit, keeper=keeper)


async def kept_moderation(audit: MemoryAudit, keeper: Keeper) -> bytes:
    """A card number, moderated under a policy that has it kept without its digits."""
    return await moderated(KEEPS, b'{"input": "my card is 4111111111111111"}', audit, keeper)


async def test_an_input_that_a_rule_without_a_model_would_stop_is_flagged() -> None:
    audit = MemoryAudit()
    stops = KEEPS.replace(b'redact: {as: "[pan]", before_audit: true}', b"block: {code: card}")
    body = await moderated(stops, b'{"input": ["fine", "my card is 4111111111111111"]}', audit)
    fine, card = json.loads(body)["results"]
    assert (fine["flagged"], fine["gatehouse"]["decision"]["action"]) == (False, "allow")
    assert card["flagged"]
    assert card["gatehouse"]["decision"] == {"action": "block", "code": "card", "rules": ["pan"]}
    assert not any(card["categories"].values())
    redacted = json.loads(await moderated(KEEPS, b'{"input": "my card is 4111111111111111"}', audit))["results"][0]
    assert (redacted["flagged"], redacted["gatehouse"]["decision"]["action"]) == (False, "redact")


async def test_what_must_not_be_kept_is_not_kept_of_an_input() -> None:
    audit = MemoryAudit()
    keeper = ListKeeper(audit)
    await kept_moderation(audit, keeper)
    assert [value["parts"][0]["text"] for _, _, value in keeper.kept] == ["my card is [pan]"]


class SlowKeeper(ListKeeper):
    """A content store whose disk takes its time."""

    def __init__(self, audit: MemoryAudit) -> None:
        super().__init__(audit)
        self.asked = asyncio.Event()

    async def keep(self, exchange: Exchange, level: str, value: Json) -> dict[str, Json]:
        self.asked.set()
        await asyncio.sleep(0.05)
        return await super().keep(exchange, level, value)


async def test_a_client_that_hangs_up_while_its_text_is_kept_leaves_the_record_that_names_it() -> None:
    audit = MemoryAudit()
    keeper = SlowKeeper(audit)
    asking = asyncio.ensure_future(kept_moderation(audit, keeper))
    await keeper.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert audit.types() == ["moderation.complete"]
    assert audit.records[0]["content"] == [{"ref": "0"}]
