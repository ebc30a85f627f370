"""Bodies, keys and routes as an attacker sends them: a clear status, a stable code, the field's name, never an echo."""

from __future__ import annotations

import json
import socket

import httpx
import pytest

from tests.e2e.conftest import CHAT, KEY, Gateway

CANARY = "canary-7f3a-do-not-echo"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}


def raw(gateway: Gateway, body: bytes, path: str = CHAT, **headers: str) -> httpx.Response:
    return httpx.post(gateway.api + path, content=body, headers=HEADERS | headers, timeout=20)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_value"),
        (b'{"model":"scripted","model":"other"}', 400, "duplicate_key"),
        (b'{"model":"scripted","temperature":NaN}', 400, "invalid_number"),
        (b'{"a":"\xff"}', 400, "not_utf8"),
        ('{"model":"scripted"}'.encode("utf-16"), 400, "not_utf8"),
        (b"[" * 200_000, 400, "too_deep"),
        (b'{"messages":[{"role":"user","content":"' + b"x" * 300_000 + b'"}]}', 400, "input_too_long"),
        (b" " * 3_000_000, 413, "body_too_large"),
        (b'{"messages":[{"role":"user","content":"' + CANARY.encode() + b'","canary":1}]}', 400, "unknown_field"),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_read_in_one_way_are_refused(
    rules_gateway: Gateway, body: bytes, status: int, code: str
) -> None:
    response = raw(rules_gateway, body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert CANARY not in response.text
    assert response.headers["x-request-id"] == response.json()["error"]["gatehouse"]["request_id"]


def test_encoded_and_foreign_bodies_are_415(rules_gateway: Gateway) -> None:
    assert raw(rules_gateway, b"\x1f\x8b", **{"content-encoding": "gzip"}).status_code == 415
    assert raw(rules_gateway, b"a=b", **{"content-type": "application/x-www-form-urlencoded"}).status_code == 415


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer nope"}, {"authorization": "Basic Z2F0ZQ=="}])
@pytest.mark.parametrize("path", [CHAT, "/v1/moderations", "/v1/models"])
def test_without_a_key_of_ours_nothing_happens(rules_gateway: Gateway, path: str, header: dict[str, str]) -> None:
    method = "GET" if path == "/v1/models" else "POST"
    response = httpx.request(method, rules_gateway.api + path, headers=header)
    assert response.status_code == 401
    assert response.json()["error"]["code"] in ("missing_api_key", "invalid_api_key")


@pytest.mark.parametrize(
    "path",
    ["/v1/completions", "/v1/embeddings", "/v1//chat/completions", "/v1/chat/completions/", "/v1/%63hat/completions",
     "/v1/models/../chat/completions", "/admin", "/", "/v1/chat%2fcompletions"],
)  # fmt: skip
def test_a_path_that_is_not_a_route_passes_nothing_on(rules_gateway: Gateway, path: str) -> None:
    host, port = rules_gateway.api.removeprefix("http://").split(":")
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": CANARY}]}).encode()
    with socket.create_connection((host, int(port)), 10) as sock:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        sock.sendall(head.encode() + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        answer = sock.makefile("rb").read()
    assert answer.split(b" ", 2)[1] in (b"400", b"404", b"405")
    assert CANARY.encode() not in answer


def exchange_raw(gateway: Gateway, data: bytes) -> bytes:
    host, port = gateway.api.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()


@pytest.mark.parametrize(
    "head",
    [
        POST + b"host: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"host: a\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        POST + b"host: a\r\nhost: b\r\ncontent-length: 2\r\n\r\n{}",
        POST + b"content-length: 2\r\n\r\n{}",
        POST + b"host: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"GET /livez HTTP/1.1\r\nhost: a\r\nbig: " + b"y" * 20_000 + b"\r\n\r\n",
    ],
)
def test_requests_that_two_readers_could_frame_differently_are_400(rules_gateway: Gateway, head: bytes) -> None:
    answer = exchange_raw(rules_gateway, head)
    assert answer.startswith(b"HTTP/1.1 400"), answer[:80]


def test_the_log_has_a_record_of_every_refusal_and_no_text(rules_gateway: Gateway) -> None:
    response = raw(rules_gateway, json.dumps({"model": "scripted", "messages": [], CANARY: 1}).encode())
    shown = rules_gateway.command(
        "audit", "show", "--config", str(rules_gateway.config), response.headers["x-request-id"], "--json"
    )
    assert shown.returncode == 0, shown.stderr
    assert "request.refuse" in shown.stdout
    everything = b"".join(path.read_bytes() for path in rules_gateway.directory.rglob("*") if path.is_file())
    assert CANARY.encode() not in everything
