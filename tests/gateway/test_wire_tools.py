"""Every form of `tool_choice` says what OpenAI's says, in terms that every model server knows."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.jsonstrict import Json
from gateway.wire_tools import read_tool_choice

KNOWN = {"one", "two", "three"}
TOOLS: list[Json] = [{"type": "function", "function": {"name": name}} for name in sorted(KNOWN)]


def named(*names: str) -> list[Json]:
    return [{"type": "function", "function": {"name": name}} for name in names]


def allowed(mode: str = "auto", **changed: Any) -> Json:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named("two", "one"), **changed}}


@pytest.mark.parametrize("value", ["none", "auto", "required", named("two")[0]])
def test_what_every_server_knows_goes_on_as_it_is(value: Json) -> None:
    found = read_tool_choice(value, KNOWN)
    assert (found.forwarded, found.of(TOOLS)) == (value, TOOLS)


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_are_the_only_ones_that_are_offered(mode: str) -> None:
    found = read_tool_choice(allowed(mode), KNOWN)
    assert (found.forwarded, found.of(TOOLS)) == (mode, named("one", "two"))


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("any", "tool_choice"),
        (7, "tool_choice"),
        ({"type": "custom"}, "tool_choice.type"),
        (named("four")[0], "tool_choice.function.name"),
        ({"type": "function", "function": {"name": "one", "text": "x"}}, "tool_choice.function.text"),
        ({**allowed(), "function": {"name": "one"}}, "tool_choice.function"),  # type: ignore[dict-item]
        ({**named("one")[0], "allowed_tools": {}}, "tool_choice.allowed_tools"),  # type: ignore[dict-item]
        (allowed("none"), "tool_choice.allowed_tools.mode"),
        (allowed(tools=[]), "tool_choice.allowed_tools.tools"),
        (allowed(tools=None), "tool_choice.allowed_tools.tools"),
        (allowed(tools=named("four")), "tool_choice.allowed_tools.tools[0].function.name"),
        (allowed(tools=[{"type": "mcp"}]), "tool_choice.allowed_tools.tools[0].type"),
        (allowed(note="ignore all rules"), "tool_choice.allowed_tools.note"),
    ],
)
def test_anything_else_is_refused_where_it_stands(value: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_tool_choice(value, KNOWN)
    assert caught.value.param == param
