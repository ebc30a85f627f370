"""A policy that routes to what is not there does not come into force, and detectors are told the tokens in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.engine_settings import STARTER_MODEL, starter_engine
from gateway.errors import ConfigError
from gateway.guard_settings import GuardSettings, shipped
from gateway.local_model import LocalModel
from gateway.operators import Operator, Role
from gateway.policy_builder import PolicyBuilder
from gateway.policy_source import Found
from gateway.queues import Queues
from gateway.surroundings import Surroundings, loaded_tokens
from gateway.upstream import UpstreamSettings
from guards.profiles.known import PROFILES
from guards.verdict import NO_CONTEXT, Part, Scope
from policies.load import parse_policy
from policies.model import Policy

URL = "http://127.0.0.1:9/v1"
LOCAL = LocalModel(STARTER_MODEL, starter_engine())
HOUSE = UpstreamSettings(URL, "house", models=((STARTER_MODEL, STARTER_MODEL),), local=LOCAL)
CLOUD = UpstreamSettings(URL, "cloud", models=(("big", "org/Big"),))
RACK = UpstreamSettings(URL, "rack")
TEXT = """
gatehouse: policy/v1
name: p
version: '1'
owner: tests@gatehouse.example
detectors: {tokens: {use: special_tokens, families: [FAMILIES]}}
rules:
  - {id: forged, on: [user], when: {tokens: {count: {gte: 1}}}, do: DO}
  - {id: pass, on: [user, output], do: allow}
"""


def policy(do: str = "{block: {code: forged}}", families: str = "loaded") -> Policy:
    return parse_policy(TEXT.replace("DO", do).replace("FAMILIES", families).encode(), "p.yaml")


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ("{model: big}", ""),
        ("{model: big, engine: cloud}", ""),
        (f"{{model: '{STARTER_MODEL}:added-later'}}", ""),
        ("{model: bigg}", "rule `forged` routes to the model `bigg`, expected one of `big`, `gatehouse-starter`"),
        ("{model: big, engine: house}", "the model `big`, expected one of `gatehouse-starter`"),
        ("{model: big, engine: clud}", "the engine `clud`, expected one of `house`, `cloud`"),
    ],
)
def test_a_route_has_to_lead_somewhere(route: str, told: str) -> None:
    asked = policy(f"{{route: {route}}}")
    Surroundings().check(asked)  # without a configuration nobody knows
    Surroundings((HOUSE, CLOUD, RACK)).check(asked) if "engine" not in route else None
    if not told:
        Surroundings((HOUSE, CLOUD)).check(asked)
        return
    with pytest.raises(ConfigError) as error:
        Surroundings((HOUSE, CLOUD)).check(asked)
    assert error.value.code == "route_unknown"
    assert told in str(error.value)


async def found_by(families: str, tokens: tuple[str, ...]) -> int:
    asked = policy(families=families)
    built = PolicyBuilder(shipped(), {}, around=Surroundings((), tokens)).built(Found(asked, b""))
    [found] = await built.find([Part(Scope.USER, "/m", "user", "a <|acme|> b")], NO_CONTEXT)
    assert found.verdict is not None
    return len(found.verdict.spans)


async def test_the_detector_is_told_the_tokens_in_use_where_it_asks_for_them() -> None:
    assert await found_by("loaded", ("<|acme|>",)) == 1
    assert await found_by("loaded, chatml", ()) == 0
    assert await found_by("chatml", ("<|acme|>",)) == 0


def write(directory: Path, *tokens: str) -> Path:
    directory.mkdir()
    (directory / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"content": token} for token in tokens]}))
    return directory


def engine(name: str, tokenizer: Path | None) -> UpstreamSettings:
    return UpstreamSettings(URL, name, tokenizer=tokenizer)


def guard(use: str, path: Path | None) -> GuardSettings:
    profile: Any = PROFILES["starter_injection"]
    return GuardSettings(use, profile, path)


def test_every_tokenizer_that_is_named_adds_its_tokens(tmp_path: Path) -> None:
    far, near = write(tmp_path / "far", "<|far|>", "<s>"), write(tmp_path / "near", "<|near|>")
    (tmp_path / "empty").mkdir()
    guards = {
        "a": guard("a", near),
        "b": guard("b", None),
        "c": guard("c", tmp_path / "missing"),
        "d": guard("d", tmp_path / "empty"),
    }
    assert loaded_tokens((engine("rack", far), engine("cloud", None)), guards) == ("<|far|>", "<|near|>")
    assert "<|eot|>" in loaded_tokens((engine("house", starter_engine()),), shipped())


def test_a_tokenizer_that_the_operator_named_has_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine `rack`.*holds no tokenizer"):
        loaded_tokens((engine("rack", tmp_path),), {})


def test_a_policy_that_wants_more_people_or_places_than_there_are_does_not_come_into_force() -> None:
    one = Queues([Operator("ann", frozenset({Role.REVIEWER}), frozenset({"desk"}))])
    with pytest.raises(ConfigError, match="wants 2 people of the queue `desk`, which has 1"):
        Surroundings(queues=one).check(policy("{review: {queue: desk, quorum: 2, hold: request}}"))
    text = TEXT.replace("detectors:", "defaults: {audit: {content: none, sinks: {require: 2}}}\ndetectors:")
    wants = parse_policy(text.replace("DO", "flag").replace("FAMILIES", "loaded").encode(), "p.yaml")
    Surroundings(places=2).check(wants)
    with pytest.raises(ConfigError, match="records in 2 places"):
        Surroundings(places=1).check(wants)
