"""Whom a request names, and that what names nobody in a form we understand is refused, not overlooked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.person import LONGEST, named_person
from gateway.wire import parse_chat
from policies.settings import Limits


def person(**fields: Any) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | fields
    return parse_chat(json.dumps(body).encode(), Limits()).person


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"user": "u"}, "u"),
        ({"user": ""}, ""),
        ({"user": "u", "safety_identifier": "s"}, "s"),
        ({"metadata": {"user_id": "m"}}, "m"),
        ({"metadata": {"user_id": "m"}, "user": "u"}, "u"),
        ({"metadata": {"other": "m"}}, ""),
        ({"user": None}, ""),
    ],
)
def test_the_nearest_name_counts(fields: dict[str, Any], expected: str) -> None:
    assert person(**fields) == expected


@pytest.mark.parametrize(
    "fields", [{"user": 5}, {"safety_identifier": ["a"]}, {"metadata": {"user_id": {}}}, {"user": "x" * (LONGEST + 1)}]
)
def test_a_name_that_is_no_text_is_refused_without_an_echo(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as error:
        person(**fields)
    assert error.value.code == "invalid_value"
    assert "xxx" not in error.value.message


def test_the_name_is_in_no_representation() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "user": "alice-4711"}
    assert "alice-4711" not in repr(parse_chat(json.dumps(body).encode(), Limits()))
    assert named_person({}) == ""
