"""The model server fails in every way a server can; each has its code, none passes a byte that was not read whole."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from gateway.errors import GatewayError, NotFound
from gateway.exchange import AnswerEvent, Channel, Finish, TextDelta, Usage
from gateway.http_client import make_client
from gateway.refusal import KNOWN_CODES
from gateway.upstream import MAX_ANSWER, Upstream, UpstreamSettings
from tests.doubles import eventually
from tests.gateway.raw_server import RESET, STREAM, STREAM_HEAD, RawServer, Step, chunk, completion, http

CANARY = "canary-of-the-server"
MODELS = (("m", "served/m"),)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as client:
        yield client


def upstream(server: RawServer, client: httpx.AsyncClient, **settings: Any) -> Upstream:
    return Upstream(UpstreamSettings(server.url, **{"models": MODELS, "first_byte_s": 0.3, **settings}), client)


async def events(asked: Upstream, *, stream: bool = False) -> list[AnswerEvent]:
    return [event async for event in asked.answer(b'{"model":"served/m"}', stream=stream, choices=1)]


async def error_of(asked: Upstream, *, stream: bool = False) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        await events(asked, stream=stream)
    assert CANARY not in error.value.message
    return error.value


async def test_an_answer_is_the_same_streamed_and_whole(server: RawServer, client: httpx.AsyncClient) -> None:
    server.answers(http(completion()))
    whole = await events(upstream(server, client))
    assert whole == [TextDelta(0, Channel.CONTENT, "fine"), Finish(0, "stop"), Usage({"total_tokens": 2})]
    server.answers(*STREAM)
    streamed = await events(upstream(server, client), stream=True)
    assert streamed == [TextDelta(0, Channel.CONTENT, "fi"), TextDelta(0, Channel.CONTENT, "ne"), Finish(0, "stop")]


async def test_a_body_that_is_whole_and_says_that_each_choice_has_ended_needs_no_done(
    server: RawServer, client: httpx.AsyncClient
) -> None:
    whole, half = chunk("fine") + chunk(reason="stop"), chunk("fine")
    server.answers(http(whole))
    assert await events(upstream(server, client), stream=True) == [
        TextDelta(0, Channel.CONTENT, "fine"), Finish(0, "stop"),
    ]  # fmt: skip
    for body, length, code in ((half, len(half), "upstream_cut_off"), (whole, len(whole) + 9, "upstream_broken")):
        server.answers(http(body, length=length))
        assert (await error_of(upstream(server, client), stream=True)).code == code


async def test_what_goes_out_is_the_judged_body_to_a_constant_path(
    server: RawServer, client: httpx.AsyncClient
) -> None:
    server.answers(http(completion()))
    await events(upstream(server, client, api_key="sk-of-the-site"))
    [(head, body)] = server.requests
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/chat/completions http/1.1"
    assert "accept-encoding: identity" in lines
    assert "authorization: bearer sk-of-the-site" in lines
    assert "content-type: application/json" in lines
    assert not [line for line in lines if line.startswith(("cookie", "x-forwarded", "proxy", "referer"))]
    assert body == b'{"model":"served/m"}'
    assert "sk-of-the-site" not in repr(upstream(server, client, api_key="sk-of-the-site").settings)


BROKEN: dict[str, tuple[tuple[Step, ...], str, int]] = {
    "closes without a word": ((), "upstream_unreachable", 503),
    "resets before a word": ((RESET,), "upstream_unreachable", 503),
    "is no HTTP": ((b"SSH-2.0-OpenSSH\r\n\r\n",), "upstream_unreachable", 503),
    "says nothing in time": ((5.0,), "upstream_timeout", 504),
    "stops in the middle of its body": ((http(completion()[:20], length=500), 5.0), "upstream_timeout", 504),
    "closes in the middle of its body": ((http(completion()[:20], length=500),), "upstream_broken", 502),
    "resets in the middle of its body": ((http(completion()[:20], length=500), RESET), "upstream_broken", 502),
    "sends a broken chunk": (
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + completion(),), "upstream_unreachable", 503,
    ),
    "sends an endless header": (
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",), "upstream_unreachable", 503,
    ),
    "is no JSON": ((http(CANARY.encode()),), "upstream_bad_answer", 502),
    "is another JSON": ((http(b'{"detail": "canary-of-the-server"}'),), "upstream_bad_answer", 502),
    "is gzipped": ((http(gzip.compress(completion()), "200 OK", "content-encoding: gzip"),), "upstream_encoded", 502),
    "is too large": ((http(b" " * (MAX_ANSWER + 1)),), "upstream_too_large", 502),
    "redirects": ((http(b"", "307 Temporary Redirect", "location: http://127.0.0.1:1/v1"),), "upstream_error", 502),
    "asks for a login": ((http(b"{}", "401 Unauthorized"),), "upstream_error", 502),
    "crashes": ((http(json.dumps({"error": {"message": CANARY, "code": CANARY}}).encode(), "500 Oops"),),
                "upstream_error", 502),
    "is overloaded": ((http(b"{}", "429 Too Many Requests"),), "upstream_overloaded", 503),
    "is loading": ((http(b"{}", "503 Service Unavailable"),), "upstream_overloaded", 503),
    "does not know the route": ((http(b"{}", "404 Not Found"),), "model_not_found", 404),
    "refuses": ((http(b"not json", "400 Bad Request"),), "upstream_refused", 400),
    "refuses at length": ((http(b"x" * 100_000, "422 Unprocessable"),), "upstream_too_large", 502),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", BROKEN)
async def test_each_way_to_fail_has_its_code(
    server: RawServer, client: httpx.AsyncClient, how: str, stream: bool
) -> None:
    script, code, status = BROKEN[how]
    server.answers(*script)
    error = await error_of(upstream(server, client), stream=stream)
    if stream and code in ("upstream_bad_answer", "upstream_too_large") and status == 502 and "refuses" not in how:
        assert error.code in ("upstream_cut_off", "upstream_bad_stream"), "no event of a stream was in it"
    else:
        assert (error.code, error.status) == (code, status)
    assert len(server.requests) == 1, "nothing is sent twice"


STREAMS: dict[str, tuple[tuple[Step, ...], str]] = {
    "ends without [DONE] and no word of its length": (
        (STREAM_HEAD, chunk("fine"), chunk(reason="stop")),
        "upstream_cut_off",
    ),
    "ends inside an event": ((STREAM_HEAD, chunk("fine")[:-10]), "upstream_cut_off"),
    "stops": ((STREAM_HEAD, chunk("fine"), 5.0), "upstream_timeout"),
    "is reset": ((STREAM_HEAD, chunk("fine"), 0.05, RESET), "upstream_cut_off"),
    "has a broken chunk": (
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n:\r\n", 0.05, b"zz\r\n"),
        "upstream_timeout",
    ),
    "holds garbage": ((STREAM_HEAD, chunk("fine"), b"data: {\n\n"), "upstream_bad_answer"),
    "holds another encoding": ((STREAM_HEAD, b"data: \xff\xfe\n\n"), "upstream_bad_stream"),
    "holds an error": ((STREAM_HEAD, b'data: {"error": {"message": "canary-of-the-server"}}\n\n'), "upstream_error"),
    "never ends its line": ((STREAM_HEAD, *[b"data: " + b"x" * 65536] * 6), "upstream_bad_stream"),
    "never ends its event": ((STREAM_HEAD, *[b"data:\n" * 100_000] * 12), "upstream_bad_stream"),
}


@pytest.mark.parametrize("how", STREAMS)
async def test_a_stream_that_breaks_is_a_failure_whatever_came_before(
    server: RawServer, client: httpx.AsyncClient, how: str
) -> None:
    script, code = STREAMS[how]
    server.answers(*script)
    assert (await error_of(upstream(server, client), stream=True)).code == code


async def test_nothing_after_done_is_read(server: RawServer, client: httpx.AsyncClient) -> None:
    server.answers(*STREAM, chunk(CANARY), b"data: {\n\n", 5.0)
    assert CANARY not in repr(await events(upstream(server, client), stream=True))


async def test_a_server_that_is_not_there_is_503(client: httpx.AsyncClient) -> None:
    async with RawServer() as gone:
        pass
    assert (await error_of(upstream(gone, client))).code == "upstream_unreachable"


async def test_giving_up_hangs_up_at_once(server: RawServer, client: httpx.AsyncClient) -> None:
    """A client that went away must not keep a GPU busy."""
    server.answers(STREAM_HEAD, chunk("fine"), 30.0)
    async with aclosing(upstream(server, client, first_byte_s=30).answer(b"{}", stream=True, choices=1)) as answer:
        async for _ in answer:
            break
    task = asyncio.create_task(events(upstream(server, client, first_byte_s=30)))
    server.answers(30.0, b"late")
    await eventually(lambda: len(server.requests) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: server.hung_up >= 1)


@pytest.mark.parametrize("code", sorted(KNOWN_CODES))
async def test_known_codes_of_a_refusal_are_passed_on(server: RawServer, client: httpx.AsyncClient, code: str) -> None:
    server.answers(http(json.dumps({"error": {"message": CANARY, "code": code}}).encode(), "400 Bad Request"))
    error = await error_of(upstream(server, client))
    assert (error.code, error.status) == (code, 400)


@pytest.mark.parametrize("code", [CANARY, "content_filter", "x" * 10_000, "", 7, None, ["a"], {"a": 1}])
async def test_an_unknown_code_of_a_refusal_is_not(server: RawServer, client: httpx.AsyncClient, code: Any) -> None:
    """It may quote the prompt, pass for a block of ours, or be a new metric label each time."""
    server.answers(http(json.dumps({"error": {"message": CANARY, "code": code}}).encode(), "400 Bad Request"))
    assert (await error_of(upstream(server, client))).code == "upstream_refused"


LISTED = {"object": "list", "data": [
    {"id": "chat"}, {"id": "guard", "task": "classify"}, {"id": 7}, {"id": ""}, {"id": "a\nb"}, {"id": "x" * 300},
    {"id": "visit evil.test now"}, {"id": "![x](//evil.test)"}, {"id": "<b>x</b>"}, {"id": "a\u200bb"}, "row", {},
    {"id": "a\u3000b"},
]}  # fmt: skip


async def test_models_come_from_the_server_and_only_what_can_chat(server: RawServer, client: httpx.AsyncClient) -> None:
    server.answers(http(json.dumps(LISTED).encode()))
    asked = upstream(server, client, models=())
    assert dict(await asked.models()) == {"chat": "chat"}
    assert await asked.served_as("chat") == "chat"
    assert len(server.requests) == 1, "the list is remembered for a while"
    with pytest.raises(NotFound) as error:
        await asked.served_as(CANARY)
    assert CANARY not in error.value.message


async def test_a_model_goes_through_the_table_of_the_configuration(
    server: RawServer, client: httpx.AsyncClient
) -> None:
    assert await upstream(server, client).served_as("m") == "served/m"
    with pytest.raises(NotFound):
        await upstream(server, client).served_as("served/m")
    assert server.requests == []


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ((), "upstream_unreachable"), ((5.0,), "upstream_timeout"), ((http(b"{}", "500 Oops"),), "upstream_error"),
        ((http(b"{}"),), "upstream_bad_answer"), ((http(b"\xff"),), "upstream_bad_answer"),
        ((http(b'{"data', length=99),), "upstream_broken"), ((http(b'{"data', length=99), 5.0), "upstream_timeout"),
    ],
)  # fmt: skip
async def test_a_list_of_models_that_cannot_be_read_is_a_failure(
    server: RawServer, client: httpx.AsyncClient, script: tuple[Step, ...], code: str
) -> None:
    server.answers(*script)
    with pytest.raises(GatewayError) as error:
        await upstream(server, client, models=()).models()
    assert error.value.code == code


async def test_a_probe_asks_the_server_even_when_all_is_known(server: RawServer, client: httpx.AsyncClient) -> None:
    """Readiness must not stay true for half a minute, or for ever, after the server died."""
    for models in ((), MODELS):
        asked = upstream(server, client, models=models)
        server.answers(http(json.dumps(LISTED).encode()))
        await asked.probe()
        server.answers()
        with pytest.raises(GatewayError):
            await asked.probe()


async def test_a_server_without_a_list_is_fine_when_its_models_are_configured(
    server: RawServer, client: httpx.AsyncClient
) -> None:
    server.answers(http(b"{}", "404 Not Found"))
    await upstream(server, client).probe()
    with pytest.raises(NotFound):
        await upstream(server, client, models=()).probe()
    server.answers(http(b"{}", "401 Unauthorized"))
    with pytest.raises(GatewayError):
        await upstream(server, client).probe()


async def test_a_server_that_never_ends_is_given_up(server: RawServer, client: httpx.AsyncClient) -> None:
    """Comments come in time, each of them, and the answer never does."""
    server.answers(STREAM_HEAD, *[step for _ in range(60) for step in (b": still here\n\n", 0.05)])
    asked = upstream(server, client, total_s=0.5)
    assert (await error_of(asked, stream=True)).code == "upstream_timeout"


@pytest.mark.parametrize(
    ("begin", "piece"), [(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")]
)
async def test_a_server_whose_header_never_ends_is_given_up(
    server: RawServer, client: httpx.AsyncClient, begin: bytes, piece: bytes
) -> None:
    server.answers(begin, *[step for _ in range(60) for step in (piece, 0.05)])
    asked = upstream(server, client, total_s=0.4)
    assert (await error_of(asked, stream=True)).code == "upstream_timeout"


async def test_silence_past_the_total_is_not_waited_for(server: RawServer, client: httpx.AsyncClient) -> None:
    server.answers(STREAM_HEAD, 5.0)
    began = asyncio.get_running_loop().time()
    assert (
        await error_of(upstream(server, client, total_s=0.3, first_byte_s=4), stream=True)
    ).code == "upstream_timeout"
    assert asyncio.get_running_loop().time() - began < 2
