"""What counts as no answer is the same for every guard that asks over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from guards.asking import ask, check_source
from guards.errors import ErrorKind, GuardError

SECRET = "what-the-server-said"


def raising(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def saying(status: int, content: bytes, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, content=content, headers=headers)


async def asked(answer: Callable[[httpx.Request], httpx.Response], limit: int = 1000) -> dict[str, object]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await ask("guard", client, "http://model/x", {"q": 1}, limit)


async def test_an_object_is_an_answer() -> None:
    assert await asked(saying(200, b'{"a": [1]}')) == {"a": [1]}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (saying(429, b""), ErrorKind.OVERLOAD),
        (saying(503, b""), ErrorKind.UNAVAILABLE),
        (saying(502, b""), ErrorKind.UNAVAILABLE),
        (saying(504, b""), ErrorKind.TIMEOUT),
        (saying(500, b'{"a": 1}'), ErrorKind.BAD_ANSWER),
        (saying(302, b"", location="http://elsewhere/"), ErrorKind.BAD_ANSWER),
        (saying(204, b""), ErrorKind.BAD_ANSWER),
        (saying(200, b""), ErrorKind.BAD_ANSWER),
        (saying(200, b"[1]"), ErrorKind.BAD_ANSWER),
        (saying(200, SECRET.encode()), ErrorKind.BAD_ANSWER),
        (saying(200, b"[" * 900), ErrorKind.BAD_ANSWER),
        (saying(200, b'{"a": "' + b"x" * 1000 + b'"}'), ErrorKind.BAD_ANSWER),
        (raising(httpx.ConnectError("no")), ErrorKind.UNAVAILABLE),
        (raising(httpx.ReadError("no")), ErrorKind.UNAVAILABLE),
        (raising(httpx.RemoteProtocolError("no")), ErrorKind.UNAVAILABLE),
        (raising(httpx.ReadTimeout("no")), ErrorKind.TIMEOUT),
        (raising(httpx.DecodingError("no")), ErrorKind.BAD_ANSWER),
    ],
)
async def test_anything_else_is_an_error_of_its_kind(
    answer: Callable[[httpx.Request], httpx.Response], kind: ErrorKind
) -> None:
    with pytest.raises(GuardError) as caught:
        await asked(answer)
    assert caught.value.kind is kind
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "required", "holds"),
    [
        ({"model": "m", "weights": "w"}, True, True),
        ({"model": "m", "weights": "w"}, False, True),
        ({"model": "m"}, False, True),
        ({"model": "m"}, True, False),
        ({"model": "m", "weights": "x"}, False, False),
        ({"model": "n", "weights": "w"}, False, False),
        ({}, False, False),
    ],
)
def test_an_answer_comes_from_the_model_that_was_asked(answer: dict[str, str], required: bool, holds: bool) -> None:
    if holds:
        check_source("guard", answer, "m", "w", required=required)
        return
    with pytest.raises(GuardError):
        check_source("guard", answer, "m", "w", required=required)
