"""Each field of a request is in one table, and those that are refused say why."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from gateway.errors import BadRequest
from gateway.jsonstrict import Json
from gateway.wire_top import FORWARDED, HINTS, NOT_FORWARDED, REPEATED, TOP_LEVEL, refuse_unavailable, stream_options


def test_no_field_of_the_sdk_is_unknown() -> None:
    assert {*CompletionCreateParamsBase.__annotations__, "stream"} <= TOP_LEVEL.keys()


def test_no_field_is_in_two_tables() -> None:
    tables = (FORWARDED.keys(), NOT_FORWARDED, HINTS.keys(), REPEATED.keys())
    assert sum(len(table) for table in tables) == len({name for table in tables for name in table})


@pytest.mark.parametrize(
    ("field", "value"),
    [("functions", []), ("moderation", {"model": "m"}), ("modalities", ["audio"]), ("top_logprobs", False)],
)
def test_what_there_is_not_is_refused_with_its_reason(field: str, value: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        refuse_unavailable({field: value})
    assert (caught.value.code, caught.value.param) == ("unsupported_field", field)
    assert f"`{field}` is not available here: " in caught.value.message


def test_of_a_chat_template_only_thinking_can_be_switched() -> None:
    read = FORWARDED["chat_template_kwargs"]
    wrongs: list[Json] = [{"enable_thinking": "no"}, {"enable_thinking": 0}, {"system": "text"}, [], "text"]
    assert read({"enable_thinking": False, "thinking": None}, "x") == {"enable_thinking": False}
    for wrong in wrongs:
        with pytest.raises(BadRequest) as caught:
            read(wrong, "x")
        assert (caught.value.param or "").startswith("x")


def test_values_that_ask_for_nothing_are_harmless() -> None:
    refuse_unavailable({"modalities": ["text"], "top_logprobs": 0, "temperature": 1})


@pytest.mark.parametrize(
    ("value", "stream", "wanted"),
    [
        (None, False, False),
        ({}, True, False),
        ({"include_usage": True, "include_obfuscation": False}, True, True),
    ],
)
def test_usage_is_told_where_it_is_wanted(value: Json, stream: bool, wanted: bool) -> None:
    assert stream_options(value, stream) is wanted
