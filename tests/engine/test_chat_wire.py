"""Messages and tools as clients send them: read, or refused by the place where something else stands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chat_format import ChatMessage, ToolCall
from engine.chat_wire import read_messages, read_tools
from engine.errors import BadRequest
from engine.wire import Fields

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def messages(*sent: Any) -> tuple[ChatMessage, ...]:
    return read_messages(Fields({"messages": list(sent)}))


def test_turns_of_all_roles_are_read() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert messages(
        {"role": "system", "content": "be"},
        {"role": "user", "content": parts, "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
        {"role": "tool", "content": "4", "tool_call_id": "c"},
        {"role": "assistant", "content": "no", "tool_calls": None},
    ) == (
        ChatMessage("system", "be"),
        ChatMessage("user", "ab"),
        ChatMessage("assistant", "", (ToolCall("f", '{"a": 1}'),)),
        ChatMessage("tool", "4"),
        ChatMessage("assistant", "no"),
    )


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ("hi", "messages"),
        ({"role": "wizard", "content": "a"}, "messages[0].role"),
        ({"role": "user", "content": None}, "messages[0].content"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": "a", "audio": {}}, "messages[0].audio"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0]"),
        ({"role": "user", "content": "a", "tool_calls": [CALL]}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": -1}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": CALL}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "["}}]}, "messages"),
    ],
)
def test_what_is_no_turn_is_refused_where_it_stands(sent: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        messages(sent)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "sent",
    [
        5,
        {"a": 1},
        [TOOL] * 129,
        [{"type": "web"}],
        [{"type": "function", "function": {}}],
        [{"type": "function", "function": {"name": ""}}],
        [{"type": "function", "function": {"name": "f", "description": "\ud800"}}],
    ],
)
def test_what_is_no_list_of_functions_is_refused(sent: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        read_tools(Fields({"tools": sent}))
    assert caught.value.param == "tools"


def test_tools_are_those_that_are_offered() -> None:
    assert read_tools(Fields({})) == ()
    assert read_tools(Fields({"tools": [TOOL]})) == (TOOL["function"],)


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["user", "assistant", "text"])
)
KEYS = st.sampled_from(
    ["role", "content", "tool_calls", "refusal", "type", "text", "function", "name", "arguments", "x"]
)


@given(
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=8,
    )
)
def test_whatever_is_sent_is_a_turn_or_a_refusal_that_names_a_field(sent: Any) -> None:
    try:
        read = messages(sent)
    except BadRequest as exc:
        param = exc.param
    else:
        assert len(read) == 1
        return
    assert param is not None
    assert param.startswith("messages")
