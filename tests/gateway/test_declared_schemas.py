"""What a request declares reaches the guards that hold its answer to it: the real walk, the real hold-back."""

from __future__ import annotations

import json

from gateway.exchange import Channel, Finish, TextDelta, ToolDelta
from gateway.holdback import Holdback, ReleaseRule
from gateway.wire import parse_chat
from guards.rules.structured import JsonSchemaGuard, ToolArgumentsGuard
from guards.verdict import Context, Scope
from policies.model import Limits

PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "tools": [
        {"type": "function", "function": {"name": "get", "description": 'a\n"b"', "parameters": PARAMETERS}},
    ],
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"required": ["a"]}}},
}


async def test_an_answer_and_its_calls_are_held_to_what_their_request_declares() -> None:
    request = parse_chat(json.dumps(BODY).encode(), Limits())
    held = Holdback(ReleaseRule("buffer", 0, 0, 10_000))
    held.feed(TextDelta(0, Channel.CONTENT, '{"b": 1}'))
    held.feed(ToolDelta(0, 0, "one", "get", '{"n": "x"}'))
    held.feed(ToolDelta(0, 1, "two", "drop", '{"n": 1}'))
    held.feed(Finish(0, "tool_calls"))
    context, found = Context.of(request.parts), {}
    for part in held.last().parts:
        guard = JsonSchemaGuard() if part.scope is Scope.OUTPUT else ToolArgumentsGuard()
        [verdict] = await guard.judge([part], context)
        found[part.path.removeprefix("/choices/0/message/")] = [span.label for span in verdict.spans]
    assert found == {
        "content": ["schema_mismatch"],
        "tool_calls/0/function/name": [],
        "tool_calls/0/function/arguments": ["schema_mismatch"],
        "tool_calls/1/function/name": ["unknown_tool"],
        "tool_calls/1/function/arguments": [],
    }
