"""Adapters through the admin listener: each change is a record, and is in force on both sides or on neither."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.admin.adapter_routes import adapter_routes
from gateway.admin.client import AdminError
from gateway.upstream import Upstream, UpstreamSettings
from tests.doubles import MemoryLog
from tests.gateway.live_admin import ODA, VERA, LiveAdmin

BASE = "gatehouse-starter"


@dataclass
class Host(httpx.AsyncBaseTransport):
    """The model host's routes for adapters, without models."""

    names: list[str] = field(default_factory=lambda: [f"{BASE}:old"])
    broken: bool = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.broken:
            return httpx.Response(200, content=b"[]")
        if request.url.path == "/v1/models":
            entries = [{"id": BASE, "weights": "w"}, *map(self.entry, self.names)]
            return httpx.Response(200, json={"data": entries})
        if request.method == "DELETE":
            self.names.remove(request.url.path.removeprefix("/adapters/"))
            return httpx.Response(200, json={"deleted": True})
        asked = json.loads(await request.aread())
        if asked["path"] == "/bad":
            error = {"code": "weights_mismatch", "message": "tensor `x` is missing"}
            return httpx.Response(400, json={"error": error})
        self.names.append(asked["name"])
        return httpx.Response(201, json=self.entry(asked["name"]))

    @staticmethod
    def entry(name: str) -> dict[str, Any]:
        return {"id": name, "parent": BASE, "weights": f"sha256:{name}", "rank": 4}


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def upstream(host: Host) -> Upstream:
    names = (BASE, f"{BASE}:old")
    settings = UpstreamSettings("http://model-host/v1", models=tuple((name, name) for name in names))
    return Upstream(settings, httpx.AsyncClient(transport=host))


@pytest.fixture
def live(host: Host, upstream: Upstream) -> Iterator[LiveAdmin]:
    client = httpx.AsyncClient(transport=host)
    with LiveAdmin(lambda desk: adapter_routes(desk, client, upstream, [BASE])) as live:
        yield live


async def test_one_more_is_a_record_and_then_a_model(live: LiveAdmin, upstream: Upstream) -> None:
    row = live.client(ODA).post("/admin/adapters", {"name": "clinic", "path": "/clinic"})

    told = {"name": "clinic", "model": f"{BASE}:clinic", "weights": f"sha256:{BASE}:clinic", "rank": 4}
    assert row == told
    [record] = live.records
    assert (record["type"], record["actor"]["sub"]) == ("engine.adapter", "oda")
    assert record["adapter"] == {"change": "add", **told}
    assert await upstream.served_as(f"{BASE}:clinic") == f"{BASE}:clinic"
    assert [one["name"] for one in live.client(ODA).get("/admin/adapters")["adapters"]] == ["old", "clinic"]


async def test_one_fewer_is_a_record_and_then_no_model(live: LiveAdmin, upstream: Upstream, host: Host) -> None:
    live.client(ODA).send("DELETE", "/admin/adapters/old")

    [record] = live.records
    assert (record["adapter"]["change"], record["adapter"]["model"]) == ("remove", f"{BASE}:old")
    assert host.names == []
    assert f"{BASE}:old" not in await upstream.models()
    with pytest.raises(AdminError) as caught:
        live.client(ODA).send("DELETE", "/admin/adapters/old")
    assert caught.value.code == "adapter_not_found"


async def test_what_the_host_refuses_is_told_with_its_code_and_changes_nothing(
    live: LiveAdmin, upstream: Upstream
) -> None:
    with pytest.raises(AdminError, match="tensor `x` is missing") as caught:
        live.client(ODA).post("/admin/adapters", {"name": "clinic", "path": "/bad"})
    assert caught.value.code == "weights_mismatch"
    assert live.records == []
    assert f"{BASE}:clinic" not in await upstream.models()


def test_a_host_that_makes_no_sense_is_unavailable(live: LiveAdmin, host: Host) -> None:
    host.broken = True
    with pytest.raises(AdminError) as caught:
        live.client(ODA).get("/admin/adapters")
    assert caught.value.code == "engine_unavailable"


def test_it_takes_the_role(live: LiveAdmin) -> None:
    for call in (
        lambda: live.client(VERA).get("/admin/adapters"),
        lambda: live.client(VERA).send("DELETE", "/admin/adapters/old"),
    ):
        with pytest.raises(AdminError) as caught:
            call()
        assert caught.value.code == "role_missing"


async def test_one_that_cannot_be_recorded_is_not_served(host: Host, upstream: Upstream) -> None:
    client = httpx.AsyncClient(transport=host)
    with LiveAdmin(lambda desk: adapter_routes(desk, client, upstream, [BASE]), log=MemoryLog(fail_from=0)) as live:
        with pytest.raises(AdminError):
            live.client(ODA).post("/admin/adapters", {"name": "clinic", "path": "/clinic"})
        assert host.names == [f"{BASE}:old"]
        assert f"{BASE}:clinic" not in await upstream.models()
