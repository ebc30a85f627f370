"""Before models are there, and for paths that are not there, answers are clear and in one form."""

from __future__ import annotations

import math
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from engine.app import build_app, deadline_s
from engine.errors import BadRequest
from engine.host import Host
from engine.spec import ModelSpec

CALLS = ["/classify", "/v1/completions", "/v1/chat/completions"]


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = build_app(Host((ModelSpec("a", Path("nowhere"), "classify"),)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host")


@pytest.mark.parametrize("path", CALLS)
async def test_while_loading_every_call_is_503(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json={"model": "a"})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "loading")


async def test_health_and_models_say_that_it_is_loading(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).status_code == 503
    assert (await client.get("/v1/models")).status_code == 503


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/classify"), ("POST", "/health")])
async def test_other_paths_and_methods_are_not_found(client: httpx.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"a": 1, "a": 2}'])
async def test_a_body_is_read_before_the_model_is_looked_up(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/classify", content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("stated", ["0", "-5", "soon", "600001", "9" * 5000, "1.5", "١"])
def test_a_deadline_is_a_number_of_milliseconds(stated: str) -> None:
    with pytest.raises(BadRequest):
        deadline_s(asked_with(stated.encode()))


def test_a_deadline_is_read_and_none_is_endless() -> None:
    assert deadline_s(asked_with(b"1500")) == 1.5
    assert deadline_s(Request({"type": "http", "headers": []})) == math.inf


def asked_with(stated: bytes) -> Request:
    return Request({"type": "http", "headers": [(b"x-request-deadline-ms", stated)]})


async def test_metrics_wait_for_the_models(client: httpx.AsyncClient) -> None:
    assert (await client.get("/metrics")).status_code == 503
