"""What leaves and what is withheld is kept before the record that says so, and digested for who has the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.entries import Exchange, keyed_digest, tenant_key
from gateway.errors import Unavailable
from gateway.exchange import Caller, Channel, TextDelta, ToolDelta
from gateway.jsonstrict import Json
from gateway.pipeline import Pipeline
from gateway.transcript import NothingKept, parts_json
from guards.verdict import Part, Scope
from tests.doubles import MemoryAudit
from tests.gateway.test_pipeline import Bench, say

KEY = tenant_key(b"k" * 32, "t")


class ListKeeper(NothingKept):
    """Keeps text in a list; fails from some text on. Notes how many records there were when it was asked."""

    def __init__(self, audit: MemoryAudit, fail_from: int | None = None) -> None:
        self._audit, self.fail_from = audit, fail_from
        self.kept: list[tuple[int, str, Any]] = []

    async def keep(self, exchange: Exchange, level: str, value: Json) -> dict[str, Json]:
        if self.fail_from is not None and len(self.kept) >= self.fail_from:
            raise Unavailable("audit_unavailable", "scripted")
        self.kept.append((len(self._audit.records), level, value))
        return {"content": [{"ref": str(len(self.kept) - 1)}]}


class KeptBench(Bench):
    """A pipeline whose text is kept."""

    def __init__(self, tmp_path: Path, *events: Any, fail_from: int | None = None, **more: Any) -> None:
        super().__init__(tmp_path, *events, **more)
        self.keeper = ListKeeper(self.audit, fail_from)
        self.pipeline = Pipeline(self.server, b"k" * 32, self.keeper)


def test_a_picture_is_kept_with_its_place_and_a_text_without_one() -> None:
    text = Part(Scope.USER, "/messages/0/content/0/text", "user", "look")
    picture = Part(Scope.IMAGE, "/messages/0/content/1/image_url/url", "user", "", picture="data:image/png;base64,QUJD")
    said, shown = parts_json([text, picture])
    assert said == {"path": text.path, "scope": "user", "role": "user", "text": "look"}
    assert shown == {"path": picture.path, "scope": "image", "role": "user", "text": "", "picture": picture.picture}


def spoken(bench: KeptBench) -> str:
    rows = [row for _, level, value in bench.keeper.kept if level == "response" for row in value.get("released", [])]
    return "".join(row["text"] for row in rows)


async def test_request_and_answer_are_kept_each_before_its_record(tmp_path: Path) -> None:
    bench = KeptBench(tmp_path, *say("a fine answer"))
    await bench.run("hello", stream=False)
    assert [(at, level) for at, level, _ in bench.keeper.kept] == [(0, "request"), (1, "response")]
    [part] = bench.keeper.kept[0][2]["parts"]
    assert part == {"path": "/messages/0/content", "scope": "user", "role": "user", "text": "hello"}
    assert [record["content"] for record in bench.audit.records] == [[{"ref": "0"}], [{"ref": "1"}]]
    assert spoken(bench) == "a fine answer"
    assert bench.audit.records[-1]["digest"]["out_hmac"] == keyed_digest(KEY, b"a fine answer")


async def test_a_stream_is_kept_window_by_window_and_whole(tmp_path: Path) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    bench = KeptBench(tmp_path, *say(*(text[i : i + 8] for i in range(0, len(text), 8))))
    left = await bench.run("hello", stream=True)
    assert spoken(bench) == "".join(getattr(step, "text", "") for step in left) == text
    assert bench.audit.records[-1]["digest"]["out_hmac"] == keyed_digest(KEY, text.encode())
    named = [record.get("content") for record in bench.audit.records]
    assert [row[0]["ref"] for row in named if row] == [str(n) for n in range(len(bench.keeper.kept))]
    assert all("out_hmac" not in record.get("digest", {}) for record in bench.audit.records[:-1])


async def test_what_a_block_withholds_is_kept_and_does_not_leave(tmp_path: Path) -> None:
    bench = KeptBench(tmp_path, *say("this is BAD"))
    await bench.run("hello", stream=False)
    _, _, value = bench.keeper.kept[-1]
    assert "released" not in value
    [withheld] = value["withheld"]
    assert withheld["choice"] == 0
    assert withheld["parts"][0]["text"] == "this is BAD"
    assert bench.audit.records[-1]["decision"]["outcome"] == "block"


async def test_a_blocked_request_is_kept(tmp_path: Path) -> None:
    bench = KeptBench(tmp_path)
    await bench.run("this is BAD")
    assert [(level, value["parts"][0]["text"]) for _, level, value in bench.keeper.kept] == [("request", "this is BAD")]
    assert bench.audit.types() == ["request.refuse"]


async def test_tool_calls_are_kept_as_they_leave(tmp_path: Path) -> None:
    call = ToolDelta(0, 0, "call-1", "look_up", '{"q":1}')
    bench = KeptBench(tmp_path, call, *say("x"))
    await bench.run("hello", stream=False, tools=[{"type": "function", "function": {"name": "look_up"}}])
    rows = bench.keeper.kept[-1][2]["released"]
    assert {"choice": 0, "tool_calls": [{"id": "call-1", "name": "look_up", "arguments": '{"q":1}'}]} in rows


async def collect(bench: KeptBench, steps: list[Any]) -> None:
    """What left before it failed counts, too."""
    async for step in bench.steps("hello", stream=True):
        steps.append(step)  # an exception must leave the list as it is


@pytest.mark.parametrize("fail_from", [0, 1, 2])
async def test_text_that_cannot_be_kept_does_not_pass(tmp_path: Path, fail_from: int) -> None:
    """Request, first window, a later one: nothing goes on that is not kept, and what had left stays true."""
    text = "word " * 40
    bench = KeptBench(tmp_path, *(TextDelta(0, Channel.CONTENT, text[i : i + 20]) for i in range(0, 200, 20)), *say())
    bench.keeper.fail_from = fail_from
    steps: list[Any] = []
    with pytest.raises(Unavailable):
        await collect(bench, steps)
    assert (bench.server.bodies == []) == (fail_from == 0)
    left = "".join(getattr(step, "text", "") for step in steps)
    assert left == spoken(bench)
    ends = [record for record in bench.audit.records if record["stage"] == "complete"]
    if fail_from:
        assert [end["err"]["code"] for end in ends] == ["audit_unavailable"]
        assert ends[0]["stream"]["released"] == len(left)
    assert "word" not in json.dumps(bench.audit.records)


async def test_tenants_have_keys_of_their_own() -> None:
    assert keyed_digest(tenant_key(b"k" * 32, "a"), b"text") != keyed_digest(tenant_key(b"k" * 32, "b"), b"text")
    assert Caller("k", "t", "a").tenant == "t"
