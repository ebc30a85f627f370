"""A model server that writes its stream as nobody should: whatever it does, judged text leaves, or the answer fails."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import GatewayError
from gateway.exchange import Channel, Ended, Finish, ReleasedCalls, ReleasedText, TextDelta
from gateway.http_client import make_client
from gateway.pipeline import Blocked, Pipeline, Step
from gateway.upstream import Upstream, UpstreamSettings
from tests.gateway.raw_server import STREAM_HEAD, RawServer
from tests.gateway.raw_server import Step as Sent
from tests.gateway.test_pipeline import Bench, released

DONE = b"data: [DONE]\n\n"


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as client:
        yield client


@dataclass
class Attack:
    """A pipeline before a model server that sends exactly some bytes, and what came of it."""

    bench: Bench
    server: RawServer
    client: httpx.AsyncClient
    steps: list[Step] = field(default_factory=list)
    error: GatewayError | None = None

    async def run(self, *script: Sent, first_byte_s: float = 2.0, **fields: Any) -> Attack:
        self.server.answers(STREAM_HEAD, *script)
        settings = UpstreamSettings(self.server.url, models=(("m", "served/m"),), first_byte_s=first_byte_s)
        self.bench.pipeline = Pipeline(Upstream(settings, self.client), b"k" * 32)
        try:
            async for step in self.bench.steps("hello", stream=True, **fields):
                self.steps.append(step)
        except GatewayError as exc:
            self.error = exc
        return self

    @property
    def text(self) -> str:
        return released(self.steps)

    def closed_with(self) -> str:
        """The code of the one closing record, or its type when all went well."""
        ends = [record for record in self.bench.audit.records[1:] if record["stage"] == "complete"]
        assert len(ends) == 1, self.bench.audit.types()
        return str(ends[0].get("err", {}).get("code", ends[0]["type"]))


@pytest.fixture
def attack(tmp_path: Path, server: RawServer, client: httpx.AsyncClient) -> Attack:
    return Attack(Bench(tmp_path), server, client)


def piece(content: str | None = None, reason: str | None = None, index: int = 0, **delta: Any) -> bytes:
    if content is not None:
        delta["content"] = content
    return event({"choices": [{"index": index, "delta": delta, "finish_reason": reason}]})


def event(row: Any) -> bytes:
    return b"data: " + json.dumps(row, ensure_ascii=False).encode() + b"\n\n"


async def test_text_that_arrives_byte_by_byte_is_the_same_text(attack: Attack) -> None:
    text = "aé€😀\u2028\u0000\x85 end"
    wire = piece(text) + piece(reason="stop") + DONE
    assert (await attack.run(*(bytes((byte,)) for byte in wire))).text == text
    assert attack.closed_with() == "response.complete"


@pytest.mark.parametrize("halves", [(r"\ud83d", r"\ude00"), (r"\ud83d", "x"), ("x", r"\ude00")])
async def test_half_a_character_pair_in_an_event_of_its_own_is_a_failure(
    attack: Attack, halves: tuple[str, str]
) -> None:
    """Nobody can judge half a character, and what joins two halves later is not known here."""
    rows = [b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % half.encode() for half in halves]
    await attack.run(*rows, piece(reason="stop"), DONE)
    assert attack.closed_with() == "upstream_bad_answer"
    assert attack.text == ""


async def test_one_character_to_an_event_costs_no_more_judgings_than_the_policy_says(attack: Attack) -> None:
    """10,000 events; windows of 20 with 10 held back. Judged characters stay linear, and so does time."""
    text = "".join(f"{number:04d} " for number in range(2_000))
    began = time.process_time()
    await attack.run(b"".join(map(piece, text)), piece(reason="stop"), DONE)
    assert attack.text == text
    judged = attack.bench.harm.judged[1:]
    assert len(judged) <= len(text) // 20 + 2
    assert sum(map(len, judged)) <= 7 * len(text)
    assert time.process_time() - began < 12


@pytest.mark.parametrize(
    "rows",
    [
        [piece("")] * 5_000 + [piece(reason="stop")],
        [piece(None)] * 5_000 + [piece(reason="stop")],
        [piece(reason="stop")],
        [piece("", reason="stop")],
        [piece(reason="stop"), piece(""), piece(reason="length")],
        [event({"choices": []})] * 100 + [piece(reason="stop")],
        [b": comment\n\n"] * 5_000 + [piece(reason="stop")],
        [event({"choices": [], "usage": {"total_tokens": 3}}), piece(reason="stop")],
    ],
)
async def test_an_answer_without_text_ends_and_shows_none(attack: Attack, rows: list[bytes]) -> None:
    await attack.run(b"".join(rows), DONE)
    assert attack.text == ""
    assert [step for step in attack.steps if isinstance(step, Ended)] == [Ended(0, "stop")]
    assert attack.closed_with() == "response.complete"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([piece("a"), piece(reason="stop"), piece("b")], "upstream_bad_stream"),
        ([piece("a"), DONE], "upstream_cut_off"),
        ([piece("a" * 200_000), piece(reason="stop"), DONE], "answer_too_long"),
        ([piece("a" * 1_000_000), piece(reason="stop"), DONE], "upstream_bad_stream"),
        ([piece("a" * 60_000)] * 2, "answer_too_long"),
        ([piece("a", index=1)], "upstream_bad_answer"),
        ([piece(tool_calls=[{"index": 0, "function": {"arguments": "a" * 60_000}}])] * 2, "answer_too_long"),
        ([piece(reasoning_content="a" * 60_000), piece("b" * 60_000)], "answer_too_long"),
        ([piece("a"), event({"error": {"message": "a"}})], "upstream_error"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_ends_the_answer_with_its_code(attack: Attack, rows: list[bytes], code: str) -> None:
    await attack.run(*rows)
    assert attack.error is not None
    assert attack.closed_with() == attack.error.code == code


async def test_choices_that_are_interleaved_in_any_way_come_apart(attack: Attack) -> None:
    words = [[f"{choice}{number:03d} " for number in range(60)] for choice in range(3)]
    order = [
        (choice, word) for number in range(60) for choice in (2, 0, 1) for word in words[choice][number : number + 1]
    ]
    rows = [piece(word, index=choice) for choice, word in order]
    both = event({"choices": [{"index": i, "delta": {"content": "!"}, "finish_reason": "stop"} for i in (1, 0)]})
    await attack.run(b"".join(rows), both, piece("!", reason="length", index=2), DONE, n=3)
    for choice in range(3):
        texts = [step.text for step in attack.steps if isinstance(step, ReleasedText) and step.choice == choice]
        assert "".join(texts) == "".join(words[choice]) + "!"
    ends = {step.choice: step.reason for step in attack.steps if isinstance(step, Ended)}
    assert ends == {0: "stop", 1: "stop", 2: "length"}


async def test_a_server_that_stalls_in_a_window_gives_what_came_and_then_fails(attack: Attack) -> None:
    await attack.run(piece("a few words, and then"), 5.0, first_byte_s=0.4)
    assert attack.text == "a few words", "judged after `max_wait`; ten characters were held back"
    assert attack.closed_with() == "upstream_timeout"
    assert attack.bench.audit.records[-1]["stream"] == {
        "mode": "window", "windows": 1, "released": 11, "received": 21, "ended_by": "",
    }  # fmt: skip


async def test_tool_calls_between_text_are_held_to_the_end_and_judged_whole(attack: Attack) -> None:
    rows: list[bytes] = []
    for number, char in enumerate('{"cmd": "' + "x" * 500 + '"}'):
        rows += [piece("word "), piece(tool_calls=[{"index": number % 2, "id": "c", "function": {"name": "f"}}])]
        rows += [piece(tool_calls=[{"index": at, "function": {"arguments": char}}]) for at in (0, 1)]
    await attack.run(b"".join(rows), piece(reason="tool_calls"), DONE)
    [calls] = [step for step in attack.steps if isinstance(step, ReleasedCalls)]
    assert [json.loads(call.arguments)["cmd"] for call in calls.calls] == ["x" * 500] * 2
    assert not any(isinstance(step, ReleasedText) for step in attack.steps[attack.steps.index(calls) :])
    assert attack.text == "word " * 511


async def test_a_flood_waits_at_the_server_and_not_in_our_memory(tmp_path: Path) -> None:
    """Guards need a quarter of a second for each window while a server would send 40 MB at once."""
    bench = Bench(tmp_path, *[TextDelta(0, Channel.CONTENT, "a flood of words " * 60)] * 40_000, Finish(0, "stop"))
    bench.harm.slow_s = 0.25
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(GatewayError) as error:
            await bench.run(stream=True)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert error.value.code == "answer_too_long"
    assert peak < 4_000_000
    assert bench.audit.records[-1]["err"]["code"] == "answer_too_long"


async def test_a_block_in_the_middle_of_a_flood_hangs_up(attack: Attack) -> None:
    rows = [piece("harmless words " * 4), 0.2, piece("now BAD and more"), *[piece("more " * 100)] * 50, 30.0]
    began = asyncio.get_running_loop().time()
    await attack.run(*rows)
    assert asyncio.get_running_loop().time() - began < 5
    assert isinstance(attack.steps[-1], Blocked)
    assert "BAD" not in attack.text
