"""A configuration tells checks of policies who votes, how long text is kept and what a server runs; or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.policy_site import site_of
from tests.gateway.test_operators import DIGEST

CONFIG = f"""
gatehouse: config/v1
operators:
  - {{name: ann, sha256: {DIGEST}, roles: [reviewer], queues: [desk]}}
content: {{master_key: nowhere.key, classes: {{short: 30d}}}}
guards:
  house: {{profile: moderation_api, url: "http://127.0.0.1:9/v1", model: m, categories: [hate]}}
"""
POLICY = """
gatehouse: policy/v1
name: p
version: "1"
regimes: [hipaa]
defaults: {audit: {content: sealed, retention: short}}
detectors: {house: {use: house, threshold: 0.5}}
rules:
  - {id: look, on: [user], when: {house: {unsafe: true}}, do: {review: {queue: desk, quorum: 2, hold: request}}}
"""


def test_what_a_configuration_says(tmp_path: Path) -> None:
    file = tmp_path / "gatehouse.yaml"
    file.write_text(CONFIG)
    site = site_of(file, lambda: 7.5)
    assert (site.at, dict(site.classes), site.remote) == (7, {"short": 30 * 86_400}, {"house"})
    assert site.people is not None
    assert site.people("desk") == 1
    file.write_text("gatehouse: config/v1\nkeys: []\n")
    assert site_of(file).people is None
    assert site_of(None).remote == frozenset()


def test_lint_says_what_this_gateway_cannot_keep(tmp_path: Path, capsys: object) -> None:
    config, policy = tmp_path / "gatehouse.yaml", tmp_path / "p.yaml"
    config.write_text(CONFIG)
    policy.write_text(POLICY)
    assert main(["policy", "lint", "--config", str(config), str(policy)]) == 1
    told = capsys.readouterr().out  # type: ignore[attr-defined] # pytest's
    for code in ("quorum-too-high", "retention-floor", "model-unpinned"):
        assert f": {code}: " in told, told
    assert "keeps text for 30 days, and `hipaa` wants 2190" in told


ENGINES = """
gatehouse: config/v1
engines:
  house: {starter: true}
  cloud: {url: "https://llm.example/v1", models: {big: org/Big}, api_key_file: not-here}
"""


def test_where_a_route_leads(tmp_path: Path) -> None:
    file = tmp_path / "gatehouse.yaml"
    file.write_text(ENGINES)
    nowhere = site_of(file).nowhere
    assert nowhere is not None
    assert (nowhere("big", ""), nowhere("big", "cloud"), nowhere("gatehouse-starter:new", "")) == ("", "", "")
    assert nowhere("big", "house") == "the model `big`, expected one of `gatehouse-starter`"
    assert nowhere("big", "clud") == "the engine `clud`, expected one of `house`, `cloud`"
    for unknown in (ENGINES.replace("{starter: true}", "{starter: maybe}"), "gatehouse: config/v1\n"):
        file.write_text(unknown)
        assert site_of(file).nowhere is None


def test_a_route_to_nowhere_is_told_before_the_policy_is_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, policy = tmp_path / "gatehouse.yaml", tmp_path / "p.yaml"
    config.write_text(ENGINES)
    policy.write_text(
        "gatehouse: policy/v1\nname: p\nversion: '1'\ndetectors: {odd: {use: unicode}}\nrules:\n"
        "  - {id: away, on: [user], when: {odd: {count: {gte: 1}}}, do: {route: {engine: clud, model: big}}}\n"
        "  - {id: pass, on: [user, output], do: allow}\n"
    )
    assert main(["policy", "lint", str(policy), "--config", str(config)]) == 1
    told = capsys.readouterr().out
    assert "p.yaml:6:" in told
    assert "no-such-route: rule `away` routes to the engine `clud`, expected one of `house`, `cloud`" in told
