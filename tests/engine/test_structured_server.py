"""Constrained answers from the running host, whose tiny model has random weights and means nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jsonschema
import pytest

from tests.engine.host_process import HostProcess

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["a", "b", None]},
        "size": {"type": "integer", "minimum": 1, "maximum": 99},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{1,3}$"}, "maxItems": 2},
    },
    "required": ["kind", "size", "tags"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA, "strict": True}}
ONE_OR_TWO = {"type": "object", "properties": {"id": {"enum": [1, 2]}}, "required": ["id"]}
TOOLS = [
    {"type": "function", "function": {"name": "look_up", "parameters": ONE_OR_TWO}},
    {"type": "function", "function": {"name": "stop_it"}},
]


@pytest.fixture(scope="module")
def host(models: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    process = HostProcess(tmp_path_factory.mktemp("s"), models[:1])
    try:
        process.wait_until(200)
        yield process
    finally:
        process.close()


def chat(host: HostProcess, **options: Any) -> httpx.Response:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 300, **options}
    return host.post("/v1/chat/completions", **body)


def choices(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["choices"]
    return found


def test_every_choice_is_valid(host: HostProcess) -> None:
    texts = set()
    for seed in range(6):
        for choice in choices(chat(host, response_format=FORMAT, seed=10 * seed, n=4)):
            assert choice["finish_reason"] == "stop"
            jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
            texts.add(choice["message"]["content"])
    assert len(texts) > 8


def test_a_stream_is_the_same_answer(host: HostProcess) -> None:
    whole = choices(chat(host, response_format=FORMAT, seed=3))[0]["message"]["content"]
    streamed = chat(host, response_format=FORMAT, seed=3, stream=True)
    lines = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    pieces = [json.loads(line)["choices"][0] for line in lines]
    assert "".join(piece["delta"].get("content") or "" for piece in pieces) == whole
    assert pieces[-1]["finish_reason"] == "stop"


def test_a_json_object_is_one_or_is_cut(host: HostProcess) -> None:
    ended = 0
    for seed in range(6):
        choice = choices(chat(host, response_format={"type": "json_object"}, seed=seed))[0]
        assert choice["message"]["content"].startswith("{")
        assert choice["finish_reason"] in ("stop", "length")
        if choice["finish_reason"] == "stop":
            ended += 1
            assert isinstance(json.loads(choice["message"]["content"]), dict)
    cut = choices(chat(host, response_format=FORMAT, max_tokens=3))[0]
    assert cut["finish_reason"] == "length"
    assert ended


def test_a_demanded_call_is_a_call(host: HostProcess) -> None:
    names = set()
    for seed in range(8):
        choice = choices(chat(host, tools=TOOLS, tool_choice="required", seed=seed, parallel_tool_calls=False))[0]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        (call,) = choice["message"]["tool_calls"]
        arguments = json.loads(call["function"]["arguments"])
        assert arguments in ([{"id": 1}, {"id": 2}] if call["function"]["name"] == "look_up" else [{}])
        names.add(call["function"]["name"])
    assert names == {"look_up", "stop_it"}
    named = {"type": "function", "function": {"name": "stop_it"}}
    calls = choices(chat(host, tools=TOOLS, tool_choice=named, seed=1))[0]["message"]["tool_calls"]
    assert {call["function"]["name"] for call in calls} == {"stop_it"}
    cut = choices(chat(host, tools=TOOLS, tool_choice=named, max_tokens=1))[0]
    assert (cut["finish_reason"], cut["message"]["content"], "tool_calls" in cut["message"]) == ("length", "", False)


def test_texts_are_continued_within_a_grammar(host: HostProcess) -> None:
    def continued(**options: Any) -> str:
        (choice,) = choices(host.post("/v1/completions", model="chat", prompt="x", max_tokens=300, seed=2, **options))
        return str(choice["text"])

    assert continued(guided_choice=["red", "green"]) in ("red", "green")
    assert continued(structured_outputs={"regex": r"\d{3}-\d{2}"})[3] == "-"
    assert continued(guided_grammar='start: "(" start ")" | "x"').count("x") == 1
    jsonschema.validate(json.loads(continued(guided_json=SCHEMA)), SCHEMA)


def test_others_in_the_batch_are_unharmed(host: HostProcess) -> None:
    def free() -> str:
        return str(choices(chat(host, temperature=0, max_tokens=60))[0]["message"]["content"])

    alone = free()
    bad = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "string", "pattern": "("}}}
    with ThreadPoolExecutor(8) as pool:
        held = [pool.submit(chat, host, response_format=FORMAT, seed=seed) for seed in range(3)]
        broken = [pool.submit(chat, host, response_format=bad) for _ in range(3)]
        beside = [pool.submit(free) for _ in range(2)]
    assert [one.result() for one in beside] == [alone] * 2
    assert all(choices(one.result())[0]["finish_reason"] == "stop" for one in held)
    assert [one.result().status_code for one in broken] == [400] * 3


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "string", "pattern": "(?=SECRET)"}, "`pattern`"),
        ({"$ref": "http://169.254.169.254/SECRET"}, "`$ref`"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, "nothing"),
        ({"properties": {"SECRET": {"not": {}}}}, "`not`"),
    ],
)
def test_a_schema_that_cannot_be_held_is_a_400_at_once(host: HostProcess, schema: Any, told: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    for stream in (False, True):
        begun = time.monotonic()
        refused = chat(host, response_format=form, stream=stream)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_schema")
        assert told in refused.json()["error"]["message"]
        assert "SECRET" not in refused.text
        assert time.monotonic() - begun < 5
    assert host.pending() == 0


def test_a_grammar_late_for_its_deadline_is_not_waited_for(host: HostProcess) -> None:
    wide = {
        "type": "object",
        "properties": {f"p{i}": {"type": "string", "pattern": f"^x{i}[a-z]+$"} for i in range(900)},
    }
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": wide}}
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "response_format": form, "max_tokens": 5}
    late = host.client.post("/v1/chat/completions", json=body, headers={"x-request-deadline-ms": "1"})
    assert (late.status_code, late.json()["error"]["code"]) == (503, "deadline_exceeded")
    assert chat(host, response_format=FORMAT).status_code == 200
