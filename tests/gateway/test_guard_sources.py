"""Each configured guard is asked where the configuration says, with its own key, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web

from gateway.errors import ConfigError, GatewayError
from gateway.guard_settings import GuardSettings, shipped
from gateway.guard_sources import check_directories, host_models, needed, needed_by_all, open_sources, remote_probes
from gateway.http_client import make_client
from guards.profiles.known import PROFILES
from guards.registry import ModelSource
from policies.errors import FileErrors, Place
from policies.load import parse_policy
from policies.model import Policy

PG2, LG4 = PROFILES["prompt_guard_2_86m"], PROFILES["llama_guard_4"]
PLACE = Place("gatehouse.yaml", 4, 3)


def policy(*uses: str) -> Policy:
    detectors = ", ".join(f"d{number}: {{use: {use}, threshold: 0.5}}" for number, use in enumerate(uses))
    conditions = ", ".join(f"{{d{number}: {{unsafe: true}}}}" for number in range(len(uses)))
    return parse_policy(
        f"{{gatehouse: policy/v1, name: p, version: 1.0.0, owner: o, detectors: {{{detectors}}}, rules: "
        f"[{{id: r, on: [user], when: {{any: [{conditions}]}}, do: {{block: {{code: x}}}}}}]}}".encode(),
        "p",
    )


def test_only_what_the_policy_asks_is_needed_and_all_of_it_has_to_be_configured() -> None:
    guards = {**shipped(), "llama_guard_4": GuardSettings("llama_guard_4", LG4, Path("/m"))}
    assert [one.use for one in needed(guards, policy("starter_hazard", "llama_guard_4"))] == [
        "llama_guard_4", "starter_hazard",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="`prompt_guard_2_86m`, which is not configured") as caught:
        needed(guards, policy("prompt_guard_2_86m"))
    assert caught.value.code == "guard_not_configured"


def test_the_model_host_is_told_what_it_runs_and_nothing_of_servers() -> None:
    guards = [
        GuardSettings("pg", PG2, Path("/pg"), precision="int8"),
        GuardSettings("lg", LG4, Path("/lg"), is_deterministic=True, kv_bytes=1 << 32, device="cuda"),
        GuardSettings("far", LG4, Path("/far"), url="http://vllm/v1", model="m", api_key="k"),
    ]
    assert host_models(guards) == [
        {"name": "pg", "path": "/pg", "task": "classify", "precision": "int8"},
        {
            "name": "lg",
            "path": "/lg",
            "task": "generate",
            "role": "guard",
            "device": "cuda",
            "deterministic": True,
            "kv_bytes": 1 << 32,
        },
    ]


def test_a_directory_that_is_not_there_is_a_problem_at_its_entry(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    local = GuardSettings("pg", PG2, tmp_path / "gone", PLACE)
    empty = replace(local, use="pg2", path=tmp_path / "empty")
    with pytest.raises(FileErrors) as caught:
        check_directories([local, empty, *shipped().values()])
    second, first = map(str, caught.value.problems)
    assert first.startswith("gatehouse.yaml:4:3: `path` of guard `pg` is ")
    assert f"gatehouse models add {tmp_path / 'empty'} --profile prompt_guard_2_86m" in second
    check_directories([replace(empty, url="http://vllm/v1")])  # what a server runs needs no list of weights here


@dataclass
class Server:
    """A model server that keeps the headers it was sent."""

    models: object = field(default_factory=lambda: {"data": [{"id": "org/m"}]})
    status: int = 200
    url: str = ""
    seen: list[Mapping[str, str]] = field(default_factory=list)

    async def _models(self, request: web.Request) -> web.Response:
        self.seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(status=self.status, text=json.dumps(self.models))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()


async def said(guard: GuardSettings) -> str:
    """What the probe of one guard says: a code, or ok."""
    async with AsyncExitStack() as stack:
        sources = await open_sources({guard.use: guard}, None, stack)
        [(name, probe)] = remote_probes([guard], sources).items()
        assert name == f"guard_{guard.use}"
        try:
            await probe()
        except GatewayError as exc:
            return exc.code
    return "ok"


async def test_each_server_gets_its_own_key_and_the_model_host_none(tmp_path: Path) -> None:
    server = Server()
    async with server.running() as url, AsyncExitStack() as stack, make_client(str(tmp_path / "host.sock")) as host:
        guards = {
            "near": GuardSettings("near", PG2, tmp_path),
            "far": GuardSettings("far", PG2, tmp_path, url=url, model="org/m", api_key="k-far"),
            "open": GuardSettings("open", LG4, tmp_path, url=url, model="org/m"),
        }
        sources = await open_sources(guards, host, stack)
        for use in ("far", "open"):
            await sources[use].client.get(f"{url}/models")
        assert [headers.get("authorization") for headers in server.seen] == ["Bearer k-far", None]
        assert "authorization" not in host.headers
        assert sources["near"].client is host


async def test_a_call_goes_where_vllm_and_our_host_have_it(tmp_path: Path) -> None:
    """`/classify` is beside `/v1`, `/completions` inside."""
    remote = {"url": "http://vllm:8000/v1", "model": "m"}
    guards = {
        "pg": GuardSettings("pg", PG2, tmp_path, **remote),  # type: ignore[arg-type]
        "lg": GuardSettings("lg", LG4, tmp_path, **remote),  # type: ignore[arg-type]
        "pg_near": GuardSettings("pg_near", PG2, tmp_path, model="pg_near"),
        "lg_near": GuardSettings("lg_near", LG4, tmp_path, model="lg_near"),
    }
    async with AsyncExitStack() as stack, make_client(str(tmp_path / "host.sock")) as host:
        sources: Mapping[str, ModelSource] = await open_sources(guards, host, stack)
    assert {use: source.url for use, source in sources.items()} == {
        "pg": "http://vllm:8000", "lg": "http://vllm:8000/v1",
        "pg_near": "http://model-host", "lg_near": "http://model-host/v1",
    }  # fmt: skip
    assert [sources[use].weights_required for use in guards] == [False, False, True, True]


async def test_without_a_model_host_its_guards_cannot_be_asked() -> None:
    async with AsyncExitStack() as stack:
        assert await open_sources(shipped(), None, stack) == {}


@pytest.mark.parametrize(
    ("status", "models", "expected"),
    [
        (200, {"data": [{"id": "org/m"}]}, "ok"),
        (200, {"data": [{"id": "org/other"}]}, "model_not_served"),
        (200, ["no list of models"], "ok"),
        (404, {}, "ok"),
        (401, {}, "unavailable"),
        (503, {}, "unavailable"),
    ],
)
async def test_a_probe_says_whether_the_server_serves_the_model(status: int, models: object, expected: str) -> None:
    server = Server(models, status)
    async with server.running() as url:
        assert await said(GuardSettings("g", LG4, None, url=url, model="org/m")) == expected


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    guard = GuardSettings("g", LG4, None, url="http://127.0.0.1:9/v1", model="m", connect_s=0.5)
    assert await said(guard) == "unreachable"


def test_what_several_policies_ask_is_needed_once() -> None:
    guards = {**shipped(), "llama_guard_4": GuardSettings("llama_guard_4", LG4, Path("/m"))}
    asked = needed_by_all(guards, (policy("starter_hazard", "llama_guard_4"), policy("starter_hazard")))
    assert [one.use for one in asked] == ["llama_guard_4", "starter_hazard"]
