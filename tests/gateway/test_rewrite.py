"""Redactions reach the very bytes that go upstream, change nothing else, and never break what is structured."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rewrite import kept_parts, with_redactions
from gateway.wire import parse_chat
from guards.verdict import Part, Scope
from policies.model import Redaction
from policies.settings import Limits

SECRET = "SECRET7"
CALL = {"id": "c1", "type": "function", "function": {"name": "run", "arguments": '{"key": "SECRET7"}'}}
TOOL = {"type": "function", "function": {"name": "f", "description": "uses SECRET7"}}


def request(*messages: Any, **fields: Any) -> Any:
    body = {"model": "m", "messages": list(messages)} | fields
    return parse_chat(json.dumps(body).encode(), Limits())


def cuts(request: Any, replacement: str = "[x]") -> list[Redaction]:
    """Every place where the secret stands."""
    found = []
    for part in request.parts:
        at = part.text.find(SECRET)
        while at >= 0:
            found.append(Redaction(part.path, at, at + len(SECRET), replacement, "rule"))
            at = part.text.find(SECRET, at + 1)
    return found


def rewritten(request: Any, replacement: str = "[x]") -> dict[str, Any] | None:
    return with_redactions(request.body, request.parts, cuts(request, replacement))


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": SECRET}, {"role": "user", "content": "q"}],
        [{"role": "user", "content": f"a {SECRET} b {SECRET}{SECRET}"}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": SECRET}]}],
        [{"role": "user", "content": "q", "name": SECRET}],
        [{"role": "assistant", "content": "a", "refusal": SECRET, "reasoning_content": SECRET}],
        [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": SECRET}],
    ],
)  # fmt: skip
def test_the_secret_is_gone_wherever_it_stood(messages: list[Any]) -> None:
    asked = request(*messages)
    before = copy.deepcopy(asked.body)
    after = rewritten(asked)
    assert SECRET not in json.dumps(after)
    assert json.dumps(after) == json.dumps(before).replace(SECRET, "[x]")
    assert asked.body == before, "what was asked is not touched"


@pytest.mark.parametrize("stop", [SECRET, ["a", SECRET]])
def test_stop_texts_are_reached_in_both_forms(stop: Any) -> None:
    after = rewritten(request({"role": "user", "content": "q"}, stop=stop))
    assert after is not None
    assert SECRET not in json.dumps(after)


def test_tool_arguments_stay_json_or_the_redaction_is_impossible() -> None:
    asked = request({"role": "assistant", "tool_calls": [CALL]}, {"role": "user", "content": "q"})
    assert rewritten(asked) is not None
    assert rewritten(asked, replacement='"') is None
    loose = copy.deepcopy(CALL)
    loose["function"]["arguments"] = f"not json {SECRET}"  # type: ignore[index] # a dict
    assert rewritten(request({"role": "assistant", "tool_calls": [loose]}), replacement='"') is not None


def test_a_schema_cannot_carry_a_redaction() -> None:
    assert rewritten(request({"role": "user", "content": "q"}, tools=[TOOL])) is None


@given(st.lists(st.text(alphabet='ab"\\é7', max_size=8), min_size=1, max_size=4))
def test_only_the_spans_change_whatever_the_text_around_them(pieces: list[str]) -> None:
    text = SECRET.join(pieces)
    after = rewritten(request({"role": "user", "content": text}))
    assert after is not None
    assert after["messages"][0]["content"] == "[x]".join(pieces)


class Path(str):
    """A path that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Path.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_many_parts_with_a_redaction_each_are_not_all_compared_with_each_other() -> None:
    parts = [Part(Scope.USER, Path(f"/a/{number}"), "user", SECRET) for number in range(500)]
    made = [Redaction(Path(f"/a/{number}"), 0, 7, "x", "r", before_audit=True) for number in range(500)]
    Path.compared = 0
    assert {part.text for part in kept_parts(parts, made)} == {"x"}
    body = {"a": dict.fromkeys(map(str, range(500)), SECRET)}
    assert with_redactions(body, parts, made) == {"a": dict.fromkeys(map(str, range(500)), "x")}
    assert Path.compared < 10 * 500
