"""Verdicts are remembered by content, apart for each tenant, within bounds, and never an error."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from guards.errors import ErrorKind, GuardError
from guards.memory import Memory, Remembering, digest, everything
from guards.verdict import NO_CONTEXT, Context, GuardIdentity, Part, Scope, Turn, Verdict
from tests.doubles import ScriptedGuard, eventually


def part(text: str, path: str = "/messages/2/content", scope: Scope = Scope.USER) -> Part:
    return Part(scope, path, "user", text)


class Slow:
    """A guard whose calls end when they are told to."""

    identity = GuardIdentity("slow", "slow/1", "sha256:0")

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gates: list[asyncio.Future[Verdict]] = []
        self.cancelled = 0

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        self.calls.append([one.text for one in parts])
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        try:
            verdict = await gate
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [verdict] * len(parts)


async def test_a_text_is_judged_once() -> None:
    guard = ScriptedGuard("g", {"bad": Verdict(900_000)})
    remembering = Remembering(guard)

    first = await remembering.judge([part("bad"), part("good"), part("bad")])
    again = await remembering.judge([part("good"), part("bad")])

    assert [verdict.score_ppm for verdict in first] == [900_000, 0, 900_000]
    assert [verdict.score_ppm for verdict in again] == [0, 900_000]
    assert guard.judged == ["bad", "good"]
    counts = remembering.counts()["part"]
    assert (counts.hits, counts.misses, counts.entries) == (2, 2, 2)
    assert remembering.identity == guard.identity


async def test_what_one_tenant_asked_never_answers_another() -> None:
    """Neither by a shorter answer nor by a count of calls can a tenant learn what another's text was."""
    guard = ScriptedGuard("g")
    remembering = Remembering(guard)

    for tenant in ("a", "b", "a", "b"):
        await remembering.judge([part("secret plan")], Context(tenant=tenant))

    assert guard.judged == ["secret plan"] * 2


async def test_tenants_do_not_share_a_call_that_is_on_its_way() -> None:
    guard = Slow()
    remembering = Remembering(guard)

    tasks = [asyncio.create_task(remembering.judge([part("x")], Context(tenant=tenant))) for tenant in "ab"]
    await eventually(lambda: len(guard.gates) == 2)
    for gate in guard.gates:
        gate.set_result(Verdict(1))
    assert await asyncio.gather(*tasks) == [[Verdict(1)]] * 2


async def test_a_tenant_that_fills_the_memory_pushes_out_its_own() -> None:
    memory: Memory[int] = Memory(lambda value: 1, max_entries=4)

    async def ask(places: Sequence[int]) -> list[int]:
        return list(places)

    await memory.recall("quiet", [b"q"], ask)
    for number in range(100):
        await memory.recall("loud", [str(number).encode()], ask)
    assert memory.counts.entries == 4

    misses = memory.counts.misses
    await memory.recall("quiet", [b"q"], ask)
    assert memory.counts.misses == misses


async def test_the_longest_unused_goes_first_and_bytes_are_bounded() -> None:
    memory: Memory[str] = Memory(len, max_bytes=256 * 3 + 30)

    async def ask(places: Sequence[int]) -> list[str]:
        return ["x" * 10 for _ in places]

    for key in (b"a", b"b", b"c", b"a", b"d"):
        await memory.recall("", [key], ask)
    assert (memory.counts.entries, memory.counts.bytes) == (3, 3 * 266)

    before = memory.counts.misses
    await memory.recall("", [b"a", b"c", b"d"], ask)
    assert memory.counts.misses == before
    await memory.recall("", [b"b"], ask)
    assert memory.counts.misses == before + 1


async def test_a_value_larger_than_the_memory_is_not_kept() -> None:
    memory: Memory[str] = Memory(len, max_bytes=300)

    async def ask(places: Sequence[int]) -> list[str]:
        return ["x" * 400 for _ in places]

    assert await memory.recall("", [b"a"], ask) == ["x" * 400]
    assert memory.counts.entries == 0


async def test_errors_are_not_remembered() -> None:
    guard = ScriptedGuard("g", {"odd": ErrorKind.OVERLOAD})
    remembering = Remembering(guard)

    for _ in range(2):
        with pytest.raises(GuardError):
            await remembering.judge([part("odd")])
    guard.phrases.clear()

    assert await remembering.judge([part("odd")]) == [Verdict(0)]
    assert guard.judged == ["odd"] * 3


async def test_equal_questions_at_the_same_time_share_a_call() -> None:
    guard = Slow()
    remembering = Remembering(guard)

    tasks = [asyncio.create_task(remembering.judge([part("x"), part(str(number))])) for number in range(3)]
    await eventually(lambda: len(guard.gates) == 3)
    for gate in guard.gates:
        gate.set_result(Verdict(7))
    assert await asyncio.gather(*tasks) == [[Verdict(7)] * 2] * 3
    assert sorted(map(sorted, guard.calls)) == [["0", "x"], ["1"], ["2"]]


async def test_one_callers_end_does_not_hurt_another_that_waits_for_the_same() -> None:
    guard = Slow()
    remembering = Remembering(guard)
    first, second = (asyncio.create_task(remembering.judge([part("x")])) for _ in range(2))
    await eventually(lambda: len(guard.gates) == 1)

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    guard.gates[0].set_result(Verdict(3))

    assert await second == [Verdict(3)]
    assert (len(guard.calls), guard.cancelled) == (1, 0)


async def test_a_call_that_nobody_waits_for_is_cancelled_and_asked_again_later() -> None:
    guard = Slow()
    remembering = Remembering(guard)
    first, second = (asyncio.create_task(remembering.judge([part("x")])) for _ in range(2))
    await eventually(lambda: len(guard.gates) == 1)

    for task in (first, second):
        task.cancel()
    await eventually(lambda: guard.cancelled == 1)
    third = asyncio.create_task(remembering.judge([part("x")]))
    await eventually(lambda: len(guard.gates) == 2)
    guard.gates[1].set_result(Verdict(4))

    assert await third == [Verdict(4)]


async def test_who_waited_for_a_call_that_failed_asks_again() -> None:
    """Another's batch may fail for another part of it."""
    guard = Slow()
    remembering = Remembering(guard)
    first = asyncio.create_task(remembering.judge([part("x"), part("too long")]))
    await eventually(lambda: len(guard.gates) == 1)
    second = asyncio.create_task(remembering.judge([part("x")]))
    await asyncio.sleep(0)

    guard.gates[0].set_exception(GuardError("slow", ErrorKind.TOO_LONG, "scripted"))
    with pytest.raises(GuardError):
        await first
    await eventually(lambda: len(guard.gates) == 2)
    guard.gates[1].set_result(Verdict(5))

    assert await second == [Verdict(5)]
    assert guard.calls == [["x", "too long"], ["x"]]


async def test_a_deadline_ends_the_wait() -> None:
    guard = Slow()
    remembering = Remembering(guard)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await remembering.judge([part("x")])
    await eventually(lambda: guard.cancelled == 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "other"},
        {"preceding": "said before"},
        {"scope": Scope.TOOL_RESULT},
        {"role": "tool"},
        {"path": "/messages/1/content"},
    ],
)
async def test_guards_that_read_the_conversation_are_asked_again_when_it_differs(changed: dict[str, object]) -> None:
    turns = tuple(Turn("user", f"/messages/{number}", f"turn {number}") for number in range(3))
    guard = ScriptedGuard("g")
    remembering = Remembering(guard)

    await remembering.judge([part("x")], Context(turns))
    await remembering.judge([part("x")], Context(turns))
    assert len(guard.judged) == 1
    await remembering.judge([replace(part("x"), **changed)], Context(turns))  # type: ignore[arg-type]
    assert len(guard.judged) == 2


async def test_later_turns_do_not_matter_to_an_earlier_message() -> None:
    turns = tuple(Turn("user", f"/messages/{number}", f"turn {number}") for number in range(4))
    guard = ScriptedGuard("g")
    remembering = Remembering(guard)

    await remembering.judge([part("x")], Context(turns[:3]))
    await remembering.judge([part("x")], Context(turns))

    assert len(guard.judged) == 1


async def test_guards_that_read_the_text_alone_are_asked_once_wherever_it_stands() -> None:
    guard = ScriptedGuard("g")
    remembering = Remembering(guard, lambda part, context: (part.text,))

    await remembering.judge([part("x")])
    await remembering.judge(
        [part("x", "/messages/9/content", Scope.HISTORY)], Context((Turn("user", "/messages/0", "y"),))
    )

    assert len(guard.judged) == 1


def test_borders_between_what_is_hashed_count() -> None:
    assert digest(("ab", "c")) != digest(("a", "bc"))
    assert digest(("ab", "")) != digest(("ab",))
    assert digest(("\ud800",)) != digest(("?",))
    assert digest(("a", "b")) == digest(("a", "b"))


def test_everything_is_role_scope_text_and_what_was_said_before() -> None:
    turns = (Turn("system", "/messages/0", "be kind"), Turn("user", "/messages/1", "hi"))

    assert list(everything(part("x", "/messages/1/content"), Context(turns))) == [
        "user",
        "user",
        "",
        "x",
        "system",
        "be kind",
    ]
