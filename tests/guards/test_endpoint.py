"""The client of /classify: a complete, well-formed answer counts, everything else is an error of the right kind."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from guards.endpoint import ClassifyEndpoint
from guards.errors import ErrorKind, GuardError
from tests.doubles import ClassifyHost

ROWS = [[1, 2], [3]]


def host() -> ClassifyHost:
    return ClassifyHost("m", "sha256:aa", lambda ids: [1 - len(ids) / 10, len(ids) / 10])


def endpoint(host: ClassifyHost, *, required: bool = True, sums: bool = True) -> ClassifyEndpoint:
    return ClassifyEndpoint("g", host.client(), "http://model-host", "m", 2, sums, "sha256:aa", required)


async def refused(host: ClassifyHost, *, required: bool = True, sums: bool = True) -> ErrorKind:
    with pytest.raises(GuardError) as caught:
        await endpoint(host, required=required, sums=sums).classify(ROWS)
    return caught.value.kind


async def test_rows_go_out_as_ids_and_come_back_as_probabilities_in_order() -> None:
    model = host()

    assert await endpoint(model).classify(ROWS) == [[0.8, 0.2], [0.9, 0.1]]
    assert model.calls == [ROWS]


def _set(path: list[Any], value: object) -> Any:
    def change(answer: Any) -> None:
        for key in path[:-1]:
            answer = answer[key]
        answer[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set(["data"], []),
        _set(["data"], None),
        _set(["data"], {"0": 1}),
        lambda a: a["data"].reverse(),
        lambda a: a["data"].append(a["data"][1]),
        lambda a: a["data"].pop(),
        _set(["data", 0], None),
        _set(["data", 1, "index"], 0),
        _set(["data", 1, "index"], True),
        _set(["data", 0, "num_classes"], 3),
        _set(["data", 0, "num_classes"], None),
        _set(["data", 0, "probs"], [1.0]),
        _set(["data", 0, "probs"], [0.5, 0.4, 0.1]),
        _set(["data", 0, "probs"], [float("nan"), 0.5]),
        _set(["data", 0, "probs"], [float("inf"), 0.0]),
        _set(["data", 0, "probs"], [-0.1, 1.1]),
        _set(["data", 0, "probs"], [True, False]),
        _set(["data", 0, "probs"], ["0.5", "0.5"]),
        _set(["data", 0, "probs"], [None, 1.0]),
        _set(["data", 0, "probs"], "01"),
        _set(["data", 0, "probs"], [0.0, 0.0]),
        _set(["data", 0, "probs"], [0.9, 0.9]),
        _set(["model"], "other"),
        _set(["model"], None),
        _set(["weights"], "sha256:bb"),
        lambda a: a.pop("weights"),
    ],
)
async def test_an_answer_with_one_thing_wrong_is_no_verdict(change: Any) -> None:
    model = host()
    answer = copy.deepcopy(model.answer(ROWS))
    change(answer)
    model.body = answer

    assert await refused(model) is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"error": {}}', b"\xff", b"[" * 100_000, b"x" * 100_000])
async def test_an_answer_that_is_something_else_is_no_verdict(body: bytes) -> None:
    model = host()
    model.body = body

    assert await refused(model) is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (503, ErrorKind.UNAVAILABLE),
        (502, ErrorKind.UNAVAILABLE),
        (429, ErrorKind.OVERLOAD),
        (504, ErrorKind.TIMEOUT),
        (500, ErrorKind.BAD_ANSWER),
        (400, ErrorKind.BAD_ANSWER),
        (204, ErrorKind.BAD_ANSWER),
        (302, ErrorKind.BAD_ANSWER),
    ],
)
async def test_a_status_other_than_200_is_no_verdict_whatever_the_body(status: int, kind: ErrorKind) -> None:
    model = host()
    model.status = status

    assert await refused(model) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), ErrorKind.UNAVAILABLE),
        (httpx.ReadError("reset"), ErrorKind.UNAVAILABLE),
        (httpx.RemoteProtocolError("cut"), ErrorKind.UNAVAILABLE),
        (httpx.ConnectTimeout("late"), ErrorKind.TIMEOUT),
        (httpx.ReadTimeout("late"), ErrorKind.TIMEOUT),
        (httpx.PoolTimeout("full"), ErrorKind.TIMEOUT),
        (httpx.DecodingError("gzip"), ErrorKind.BAD_ANSWER),
    ],
)
async def test_transport_errors_have_their_kind_and_are_not_tried_again(error: Exception, kind: ErrorKind) -> None:
    model = host()
    model.error = error

    assert await refused(model) is kind
    assert model.calls == []


async def test_missing_weights_pass_only_where_configured_and_different_ones_never() -> None:
    model = host()
    model.body = {key: value for key, value in model.answer(ROWS).items() if key != "weights"}

    assert len(await endpoint(model, required=False).classify(ROWS)) == 2
    model.body = model.answer(ROWS) | {"weights": "sha256:bb"}
    assert await refused(model, required=False) is ErrorKind.BAD_ANSWER


async def test_rows_of_independent_labels_need_not_add_up() -> None:
    model = ClassifyHost("m", "sha256:aa", lambda ids: [0.9, 0.9])

    assert await endpoint(model, sums=False).classify(ROWS) == [[0.9, 0.9], [0.9, 0.9]]
