"""`gatehouse models adapters`, against an admin listener; with a real model host in tests/e2e/test_adapters.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway import cli
from gateway.admin.adapter_routes import adapter_routes
from gateway.upstream import Upstream, UpstreamSettings
from tests.gateway.admin.test_adapter_routes import BASE, Host
from tests.gateway.admin.test_client import configuration
from tests.gateway.live_admin import ODA, LiveAdmin


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", ODA)
    client = httpx.AsyncClient(transport=Host([]))
    upstream = Upstream(UpstreamSettings("http://model-host/v1", models=(("a", "a"),)), client)
    with LiveAdmin(lambda desk: adapter_routes(desk, client, upstream, [BASE])) as live:
        yield str(configuration(tmp_path, live.port))


def test_one_is_added_listed_and_removed(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list"], ["add", "clinic", "/clinic"], ["list", "--json"], ["remove", "clinic"], ["list"]):
        assert cli.main(["models", "adapters", *words, "--config", config]) == 0
    none, added, listed, removed, again = capsys.readouterr().out.splitlines()
    assert none == again == "no adapter"
    assert added == removed == "gatehouse-starter:clinic  rank 4  sha256:gatehouse-starter:clinic"
    assert json.loads(listed)["name"] == "clinic"


def test_with_the_name_of_its_base_too(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["add", f"{BASE}:clinic", "/clinic"], ["remove", f"{BASE}:clinic"], ["list"]):
        assert cli.main(["models", "adapters", *words, "--config", config]) == 0
    added, removed, rest = capsys.readouterr().out.splitlines()
    assert (added, rest) == (removed, "no adapter")


def test_a_refusal_is_told(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "adapters", "add", "clinic", "/bad", "--config", config]) == 2
    assert cli.main(["models", "adapters", "remove", "clinic", "--config", config]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in told] == ["weights_mismatch", "adapter_not_found"]
