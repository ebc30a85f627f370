"""Requests that two readers could take for different ones are refused before any route sees them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge import MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET, Edge
from tests.gateway.live import CHAT, KEY, Live, head

CANARY = b"canary-of-the-edge"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with Live() as running:
        yield running


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
POST = f"POST {CHAT} HTTP/1.1\r\nauthorization: Bearer {KEY}\r\n".encode()
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"host: a\r\n" + LENGTH + b"transfer-encoding: chunked\r\n\r\n" + CHUNKED,
        POST + b"host: a\r\ntransfer-encoding: chunked\r\n" + LENGTH + b"\r\n" + CHUNKED,
        POST + b"host: a\r\n" + LENGTH + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\ncontent-length: 1\r\n" + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\ncontent-length: +%d\r\n\r\n" % len(BODY) + BODY,
        POST + b"host: a\r\ncontent-length: 99999999999999999999999\r\n\r\n" + BODY,
        POST + b"host: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n" + CHUNKED,
        POST + b"host: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n" + CHUNKED,
        POST + b"host: a\r\ntransfer-encoding: xchunked\r\n\r\n" + CHUNKED,
        POST + b"host: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + BODY,
        POST + b"host: a\r\nhost: b\r\n" + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\nhost: a\r\n" + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\nauthorization: Bearer x\r\n" + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\ncontent-type: application/json\r\ncontent-type: text/plain\r\n" + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\ncontent-encoding: identity\r\ncontent-encoding: gzip\r\n" + LENGTH + b"\r\n" + BODY,
        POST + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\n" + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\n folded: b\r\n" + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\nx y: b\r\n" + LENGTH + b"\r\n" + BODY,
        POST + b"host: a\r\n: b\r\n" + LENGTH + b"\r\n" + BODY,
        POST.replace(b"POST", b"post") + b"host: a\r\n" + LENGTH + b"\r\n" + BODY,
        POST.replace(b" HTTP/1.1", b" HTTP/1.1 HTTP/1.1") + b"host: a\r\n" + LENGTH + b"\r\n" + BODY,
        POST.replace(b"HTTP/1.1", b"HTTP/9.9") + b"host: a\r\n" + LENGTH + b"\r\n" + BODY,
        POST.replace(b"HTTP/1.1", b"HTTP/2.0") + b"host: a\r\n" + LENGTH + b"\r\n" + BODY,
        POST.replace(b"HTTP/1.1", b"HTTP/0.9") + b"host: a\r\n" + LENGTH + b"\r\n" + BODY,
        POST.replace(b"POST", b"CONNECT") + b"host: a\r\n" + LENGTH + b"\r\n" + BODY,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\nhello\r\n\r\n",
    ],
)
def test_framing_that_can_be_read_in_two_ways_is_400(live: Live, request_: bytes) -> None:
    before = len(live.server.bodies)
    answer = live.raw(request_)
    assert status(answer) == 400, answer[:90]
    assert answer.count(b"HTTP/1.1") == 1, "nothing after a doubtful frame is read as a second request"
    assert len(live.server.bodies) == before


def test_chunked_bodies_are_fine_in_any_pieces(live: Live) -> None:
    wire = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    with live.connect() as sock:
        sock.sendall(POST + b"host: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n" + wire)
        assert status(sock.makefile("rb").read()) == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/chat%2fcompletions", "/v1/%63hat/completions", "/v1//chat/completions", "//v1/chat/completions",
     "/v1/models/../chat/completions", "/v1/./chat/completions", "/v1/chat/completions%00", "/v1\\chat\\completions",
     "/v1/chat/completions/", "/V1/chat/completions", "/v1/chat/completions;a=b", "/", "/admin", "/metrics/../v1",
     "/v1/models/%2e%2e/x", "/v1/models/a%252fb", "/v1/models/a%00", "/v1/models%2fa",
     "/v1/models/..%2Fchat/completions", "/v1/models/" + "a" * MAX_TARGET, "*", "/v1/completions", "/v1/embeddings"],
)  # fmt: skip
def test_only_exact_paths_are_routes(live: Live, path: str) -> None:
    before = len(live.server.bodies)
    answer = live.raw(head(len(BODY), path, b"connection: close\r\n") + BODY)
    assert status(answer) in (400, 404, 405), answer[:90]
    assert len(live.server.bodies) == before


@pytest.mark.parametrize("name", ["meta-llama%2FLlama-4", "llama3%3a8b", "meta-llama/Llama-4"])
def test_the_name_of_a_model_may_come_as_sdks_write_it(live: Live, name: str) -> None:
    assert live.get(f"/v1/models/{name}").json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("name", ["a%2F../b", "a%2f%2fb", "a%2f/b", "%2F.", "a%252fb", "a%00", "%2e%2e", "a%20b"])
def test_nothing_else_of_a_name_comes_encoded(live: Live, name: str) -> None:
    target = f"GET /v1/models/{name} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n"
    assert status(live.raw(target.encode())) == 400


@pytest.mark.parametrize("target", ["http://evil/livez", "http://gate/livez", "//evil/livez", "gate:80", "livez"])
def test_a_target_with_an_authority_of_its_own_is_refused(live: Live, target: str) -> None:
    """Some reader in front of us may have gone by the one, while the other is what the Host says."""
    assert status(live.raw(f"GET {target} HTTP/1.1\r\nhost: gate\r\n\r\n".encode())) == 400


def test_a_query_changes_nothing(live: Live) -> None:
    assert live.get("/livez?a=%2e%2e/&b=//").status_code == 200


def test_floods_of_header_fields_are_refused_at_the_limit(live: Live) -> None:
    few = b"".join(b"x-%d: y\r\n" % i for i in range(MAX_HEADERS - 1))
    assert status(live.raw(b"GET /livez HTTP/1.1\r\nhost: a\r\n" + few + b"\r\n")) == 200
    assert status(live.raw(b"GET /livez HTTP/1.1\r\nhost: a\r\n" + few + b"x: y\r\n\r\n")) == 400
    many = b"".join(b"x-%d: y\r\n" % i for i in range(10_000))
    assert status(live.raw(b"GET /livez HTTP/1.1\r\nhost: a\r\n" + many + b"\r\n")) == 400
    wide = b"x: " + b"y" * MAX_HEADER_BYTES + b"\r\n"
    assert status(live.raw(b"GET /livez HTTP/1.1\r\nhost: a\r\n" + wide + b"\r\n")) == 400


def test_a_refusal_at_the_edge_closes_the_connection_and_echoes_nothing(live: Live) -> None:
    """What follows a request we did not understand may be the rest of it."""
    second = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"
    with live.connect() as sock:
        sock.sendall(b"GET /" + CANARY + b"%00 HTTP/1.1\r\nhost: a\r\n\r\n" + second)
        answer = sock.makefile("rb").read()
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answer.lower()
    assert CANARY not in answer
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["code"] == "bad_request_line"
    assert error["gatehouse"]["request_id"]


def test_the_server_does_not_say_what_it_is(live: Live) -> None:
    answer = live.raw(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").lower()
    assert b"server:" not in answer
    assert b"uvicorn" not in answer


def test_upgrades_are_not_made(live: Live) -> None:
    for protocol in (b"h2c", b"websocket"):
        fields = b"connection: upgrade\r\nupgrade: " + protocol + b"\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
        answer = live.raw(b"GET /livez HTTP/1.1\r\nhost: a\r\n" + fields + b"\r\n")
        assert status(answer) != 101, answer[:90]


def test_a_second_request_waits_for_the_first_answer(live: Live) -> None:
    """Pipelined requests are answered in order, each by itself."""
    one = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"
    last = b"GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    with live.connect() as sock:
        sock.sendall(one + one + last)
        answer = sock.makefile("rb").read()
    assert [int(piece[1:4]) for piece in answer.split(b"HTTP/1.1")[1:]] == [200, 200, 404]


def test_silence_and_half_requests_leave_the_server_serving(live: Live) -> None:
    half: list[socket.socket] = []
    for begin in (b"", b"POST", b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n", head(len(BODY)) + BODY[:5]):
        half.append(live.connect())
        half[-1].sendall(begin)
    assert live.get("/livez").status_code == 200
    for sock in half:
        sock.close()


async def passes(path: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the application behind the edge sees such a request."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    async def send(message: Any) -> None:
        assert not seen
        assert message.get("status", 400) == 400

    await Edge(app)({"type": "http", "http_version": "1.1", "raw_path": path, "headers": headers}, send, send)
    return bool(seen)


@given(st.binary(max_size=40))
async def test_no_path_with_a_second_reading_passes(path: bytes) -> None:
    if await passes(path, [(b"host", b"a")]):
        assert not {b"%", b"\\"} & {path[i : i + 1] for i in range(len(path))}
        assert b"//" not in path
        assert b"/." not in path


@given(st.lists(st.sampled_from([b"host", b"x", b"transfer-encoding"]), max_size=4))
async def test_exactly_one_host_passes(names: list[bytes]) -> None:
    headers = [(name, b"chunked") for name in names]
    assert await passes(b"/", headers) == (names.count(b"host") == 1 and names.count(b"transfer-encoding") <= 1)
