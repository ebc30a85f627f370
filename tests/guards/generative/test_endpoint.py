"""The client of /v1/completions: what vLLM says is read, what is not complete and well-formed is no verdict."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from guards.errors import ErrorKind, GuardError
from guards.generative.endpoint import MAX_PROMPTS, CompletionsEndpoint

VLLM = Path(__file__).parents[2] / "data" / "vllm"
PROMPTS = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 271]]
WANTED = [271, 19193, 39257]
MODEL = "meta-llama/Llama-Guard-3-8B"


class Wire:
    """A server that gives one answer, whatever it is asked, and keeps the questions."""

    def __init__(self, answer: object, status: int = 200, error: Exception | None = None) -> None:
        self.answer, self.status, self.error = answer, status, error
        self.calls: list[dict[str, Any]] = []

    def endpoint(self, asks_ids: bool = False, required: bool = False) -> CompletionsEndpoint:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._respond))
        return CompletionsEndpoint("g", client, "http://vllm:8000/v1", MODEL, "sha256:aa", required, asks_ids)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        if self.error is not None:
            raise self.error
        assert str(request.url) == "http://vllm:8000/v1/completions"
        self.calls.append(json.loads(request.content))
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return httpx.Response(self.status, content=body)


def recorded(name: str = "completion_two_prompts") -> Any:
    return json.loads((VLLM / f"{name}.json").read_text())


async def refused(wire: Wire, asks_ids: bool = False, required: bool = False) -> ErrorKind:
    with pytest.raises(GuardError) as caught:
        await wire.endpoint(asks_ids, required).next_tokens(PROMPTS, WANTED)
    return caught.value.kind


async def test_the_wire_of_vllm_becomes_probabilities() -> None:
    wire = Wire(recorded())

    rows = await wire.endpoint().next_tokens(PROMPTS, WANTED)

    assert rows[0] == pytest.approx({271: math.exp(-0.0018126), 19193: math.exp(-7.9143), 39257: math.exp(-7.2893)})
    assert rows[1] == pytest.approx({19193: math.exp(-2.58012), 39257: math.exp(-0.08012)})
    assert wire.calls == [
        {
            "model": MODEL,
            "prompt": PROMPTS,
            "temperature": 0,
            "max_tokens": 1,
            "logprobs": 20,
            "return_tokens_as_token_ids": True,
        }
    ]


async def test_a_server_that_knows_tokens_by_id_is_asked_for_them() -> None:
    wire = Wire(recorded("completion_logprob_token_ids"))

    rows = await wire.endpoint(asks_ids=True).next_tokens(PROMPTS, WANTED)

    assert [set(row) for row in rows] == [set(WANTED)] * 2
    assert wire.calls[0]["logprob_token_ids"] == WANTED


async def test_and_has_to_tell_them_all() -> None:
    assert await refused(Wire(recorded()), asks_ids=True) is ErrorKind.BAD_ANSWER


def _set(*path: Any) -> Callable[[Any], None]:
    *keys, last, value = path

    def change(answer: Any) -> None:
        for key in keys:
            answer = answer[key]
        answer[last] = value

    return change


TOP = ("choices", 0, "logprobs", "top_logprobs")


@pytest.mark.parametrize(
    "change",
    [
        _set("model", "other"),
        _set("model", None),
        _set("weights", "sha256:bb"),
        _set("choices", []),
        _set("choices", None),
        lambda a: a["choices"].reverse(),
        lambda a: a["choices"].pop(),
        lambda a: a["choices"].append(a["choices"][1]),
        _set("choices", 1, None),
        _set("choices", 1, "index", 0),
        _set("choices", 1, "index", True),
        _set("choices", 0, "logprobs", None),
        _set(*TOP, None),
        _set(*TOP, []),
        _set(*TOP, [None]),
        _set(*TOP, 0, "safe", -1.0),
        _set(*TOP, 0, "token_id:", -1.0),
        _set(*TOP, 0, "token_id:-1", -1.0),
        _set(*TOP, 0, "token_id:²", -1.0),
        _set(*TOP, 0, "token_id:271", math.nan),
        _set(*TOP, 0, "token_id:271", math.inf),
        _set(*TOP, 0, "token_id:271", -math.inf),
        _set(*TOP, 0, "token_id:271", 0.7),
        _set(*TOP, 0, "token_id:271", None),
        _set(*TOP, 0, "token_id:271", "-1"),
        _set(*TOP, 0, "token_id:271", True),
        _set(*TOP, 0, "token_id:39257", -0.1),
        _set("usage", None),
        _set("usage", "prompt_tokens", 10),
        _set("usage", "prompt_tokens", 12),
        _set("usage", "prompt_tokens", 11.0),
    ],
)
async def test_an_answer_with_one_thing_wrong_is_no_verdict(change: Callable[[Any], None]) -> None:
    answer = copy.deepcopy(recorded())
    change(answer)

    assert await refused(Wire(answer)) is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b"x" * 1_000_000])
async def test_an_answer_that_is_something_else_is_no_verdict(body: bytes) -> None:
    assert await refused(Wire(body)) is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (503, ErrorKind.UNAVAILABLE),
        (502, ErrorKind.UNAVAILABLE),
        (429, ErrorKind.OVERLOAD),
        (504, ErrorKind.TIMEOUT),
        (404, ErrorKind.BAD_ANSWER),
        (400, ErrorKind.BAD_ANSWER),
        (302, ErrorKind.BAD_ANSWER),
    ],
)
async def test_a_status_other_than_200_is_no_verdict_whatever_the_body(status: int, kind: ErrorKind) -> None:
    assert await refused(Wire(recorded(), status)) is kind
    assert await refused(Wire(recorded("error_model"), status)) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), ErrorKind.UNAVAILABLE),
        (httpx.RemoteProtocolError("cut"), ErrorKind.UNAVAILABLE),
        (httpx.ReadTimeout("late"), ErrorKind.TIMEOUT),
        (httpx.DecodingError("gzip"), ErrorKind.BAD_ANSWER),
    ],
)
async def test_transport_errors_have_their_kind_and_are_not_tried_again(error: Exception, kind: ErrorKind) -> None:
    wire = Wire(recorded(), error=error)

    assert await refused(wire) is kind
    assert wire.calls == []


async def test_weights_have_to_be_named_by_our_own_host() -> None:
    assert await refused(Wire(recorded()), required=True) is ErrorKind.BAD_ANSWER
    named = Wire(recorded() | {"weights": "sha256:aa"})
    assert len(await named.endpoint(required=True).next_tokens(PROMPTS, WANTED)) == 2


async def test_many_prompts_go_in_several_calls() -> None:
    sizes: list[int] = []

    def respond(request: httpx.Request) -> httpx.Response:
        count = len(json.loads(request.content)["prompt"])
        sizes.append(count)
        one = recorded()["choices"][0]
        usage = {"prompt_tokens": count}
        choices = [one | {"index": i} for i in range(count)]
        return httpx.Response(200, json={"model": MODEL, "choices": choices, "usage": usage})

    client = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    endpoint = CompletionsEndpoint("g", client, "http://h/v1", MODEL, "", False, False)

    assert len(await endpoint.next_tokens([[7]] * (MAX_PROMPTS + 3), WANTED)) == MAX_PROMPTS + 3
    assert sizes == [MAX_PROMPTS, 3]


async def test_a_text_is_asked_for_where_no_probabilities_are_told() -> None:
    wire = Wire(recorded())

    assert await wire.endpoint().texts(PROMPTS, 40) == ["\n\n", "unsafe"]
    assert wire.calls[0] == {"model": MODEL, "prompt": PROMPTS, "temperature": 0, "max_tokens": 40}


async def test_a_text_that_is_none_is_no_answer() -> None:
    answer = recorded()
    answer["choices"][1]["text"] = None

    with pytest.raises(GuardError, match="choice 1 has no text"):
        await Wire(answer).endpoint().texts(PROMPTS, 40)
