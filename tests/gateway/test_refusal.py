"""Nothing that a model server writes into a refusal comes back, but a known code and a keyword of JSON Schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.refusal import KNOWN_CODES, failed

CANARY = "the prompt"


def refusal(code: Any, message: Any, status: int = 400) -> tuple[str, str]:
    error = failed(status, json.dumps({"error": {"code": code, "message": message}}).encode())
    assert error.status == 400
    return error.code, error.message


@pytest.mark.parametrize("message", ["`response_format` uses `not`, which cannot", "no `secret` with `not` in it"])
def test_the_keyword_of_a_schema_is_passed_on(message: str) -> None:
    code, told = refusal("invalid_schema", message)
    assert code == "invalid_schema"
    assert "`not`" in told
    assert "secret" not in told


@pytest.mark.parametrize("message", [CANARY, f"`{CANARY}`", "`Secret`", "", None, 7, ["`not`"], "x" * 2000 + "`not`"])
def test_nothing_else_is(message: Any) -> None:
    code, told = refusal("invalid_schema", message)
    assert (code, told) == ("invalid_schema", "the model server refused the request with status 400")


@pytest.mark.parametrize(
    ("param", "ours"),
    [
        ("stop", "stop"),
        ("logit_bias.30", "logit_bias"),
        (f"messages[0].{CANARY}", "messages"),
        ("secret", None),
        ("stops", None),
        (CANARY, None),
        ("", None),
        (None, None),
        (["stop"], None),
    ],
)
def test_the_field_of_a_request_is_named_and_nothing_that_stands_in_it(param: Any, ours: str | None) -> None:
    error = failed(400, json.dumps({"error": {"code": "x", "message": CANARY, "param": param}}).encode())
    assert isinstance(error, BadRequest)
    assert error.param == ours
    assert error.message == "the model server refused the request with status 400" + (
        f", naming `{ours}`" if ours else ""
    )


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "context_length_exceeded", "message": CANARY}},
        {
            "error": {
                "code": 400,
                "type": "BadRequestError",
                "message": f"This model's maximum context length is {CANARY}",
            }
        },
        {
            "error": {
                "code": 400,
                "message": f"The prompt (length 9) is longer than the maximum model length of {CANARY}",
            }
        },
        {"error": {"code": 400, "type": "exceed_context_size_error", "message": CANARY, "n_ctx": 64}},
        {"error": {"code": None, "message": f"the input length exceeds the context length {CANARY}"}},
        {
            "object": "error",
            "code": 400,
            "message": f"The input (9 tokens) is longer than the model's context length {CANARY}",
        },
        {"error": f"Input validation error: `inputs` must have less than 4 tokens. Given: {CANARY}"},
    ],
)
def test_a_request_too_long_for_the_model_has_openais_code_whatever_the_server_calls_it(body: Any) -> None:
    error = failed(400, json.dumps(body).encode())
    assert (error.status, error.code) == (400, "context_length_exceeded")
    assert error.message.endswith("is longer than the model's context length"), "LiteLLM knows it by these words"


def test_words_further_on_in_a_refusal_may_be_the_prompts() -> None:
    assert refusal(400, "x" * 150 + "maximum context length")[0] == "upstream_refused"


@pytest.mark.parametrize(
    ("detail", "ours"),
    [
        ([{"type": "x", "loc": ["body", "stop"], "msg": CANARY}], "stop"),
        ([{"loc": ["body", "messages", 0, CANARY]}], "messages"),
        ([{"loc": ["body", CANARY]}], None),
        ([{"loc": ["body", 7]}], None),
        ([{"loc": ["body"]}], None),
        ([{"loc": CANARY}], None),
        ([CANARY], None),
        ([], None),
        (f"unexpected `stop` {CANARY}", None),
    ],
)
def test_the_field_of_a_refusal_by_fastapi_is_named(detail: Any, ours: str | None) -> None:
    error = failed(422, json.dumps({"detail": detail}).encode())
    assert (error.status, error.code, error.param) == (400, "upstream_refused", ours)
    assert CANARY not in error.message


def test_a_refusal_without_an_envelope_still_names_the_field() -> None:
    error = failed(400, json.dumps({"object": "error", "message": CANARY, "param": "stop", "code": 400}).encode())
    assert (error.code, error.param) == ("upstream_refused", "stop")


def test_a_keyword_means_nothing_with_another_code() -> None:
    assert refusal("invalid_value", "`not`")[1] == "the model server refused the request with status 400"
    assert refusal("prompt: `not`", "`not`") == ("upstream_refused", refusal("invalid_value", "")[1])


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [
        (404, "model_not_found", 404),
        (429, "upstream_overloaded", 503),
        (503, "upstream_overloaded", 503),
        (500, "upstream_error", 502),
        (302, "upstream_error", 502),
    ],
)
def test_other_statuses_say_less(status: int, code: str, ours: int) -> None:
    error = failed(status, json.dumps({"error": {"code": "invalid_schema", "message": f"`not` {CANARY}"}}).encode())
    assert (error.code, error.status) == (code, ours)
    assert CANARY not in error.message


@given(st.binary(max_size=60) | st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["error", "code", "message"]), inner)).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_body_is_a_refusal(body: bytes) -> None:
    error = failed(422, body)
    assert error.status == 400
    assert error.code in {*KNOWN_CODES, "upstream_refused"}
