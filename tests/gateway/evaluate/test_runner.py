"""Rows are judged by the gateway's own panel; what a guard fails to judge is an error of that row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from gateway.evaluate.rows import LabelledSet, Row
from gateway.evaluate.runner import WARM_UP, Bench, Pace, hardware, judge_set, sample
from guards.errors import ErrorKind
from guards.verdict import NO_CONTEXT, Context, GuardIdentity, Part, Turn, Verdict
from tests.doubles import ScriptedGuard
from tests.gateway.evaluate.made import DIGEST, subject


def labelled(*texts: str) -> LabelledSet:
    return LabelledSet("set.jsonl", DIGEST, tuple(Row(line, text, "bad" in text) for line, text in enumerate(texts, 1)))


class Watcher:
    """A guard that counts how many rows it sees at once, and keeps what it was told."""

    def __init__(self, crashes: bool = False) -> None:
        self.identity = GuardIdentity("watcher", "watcher/1")
        self.now = self.most = 0
        self.contexts: list[Context] = []
        self.crashes = crashes

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        self.now += 1
        self.most = max(self.most, self.now)
        self.contexts.append(context)
        await asyncio.sleep(0.001)
        self.now -= 1
        if self.crashes:
            raise RuntimeError("of a text: " + parts[0].text)
        return [Verdict(5)]


async def test_every_row_gets_the_verdict_of_its_own_text() -> None:
    verdict = Verdict(900_000, (("S1", 800_000),), windows=3, view="unspaced")
    guard = ScriptedGuard("scripted", {"bad": verdict})
    texts = [f"row {number} {'bad' if number % 3 == 0 else 'fine'}" for number in range(30)]

    (judged_by,), rows = await judge_set(labelled(*texts), [Bench(subject(), guard)], Pace(concurrency=4))

    for number, row in enumerate(rows):
        found = row.judged["inject"]
        assert row.line == number + 1
        assert row.label == (number % 3 == 0)
        if row.label:
            assert (found.score_ppm, found.categories, found.windows, found.view) == (
                900_000,
                {"S1": 800_000},
                3,
                "unspaced",
            )
        else:
            assert found.score_ppm == 0
    assert sum(row.judged["inject"].alone for row in rows) == 15
    assert (judged_by.rows, judged_by.concurrency) == (15, 4)
    assert judged_by.wall_us > 0


async def test_the_latency_is_taken_while_nothing_else_runs() -> None:
    alone, together = Watcher(), Watcher()
    await judge_set(labelled(*"abcdefgh"), [Bench(subject(), alone)], Pace(concurrency=1))
    await judge_set(labelled(*"abcdefgh"), [Bench(subject(), together)], Pace(concurrency=4))
    assert (alone.most, together.most) == (1, 4)
    assert len(alone.contexts) == 8 + WARM_UP


async def test_rows_that_are_not_judged_are_errors_of_their_kind_and_the_rest_goes_on() -> None:
    guard = ScriptedGuard("scripted", {"late": ErrorKind.TIMEOUT, "much": ErrorKind.TOO_LONG})
    _, rows = await judge_set(labelled("a", "late", "b", "much"), [Bench(subject(), guard)], Pace())
    assert [row.judged["inject"].error for row in rows] == ["", "timeout", "", "too_long"]
    assert [row.judged["inject"].score_ppm for row in rows] == [0, None, 0, None]


async def test_a_guard_that_hangs_is_a_timeout() -> None:
    guard = ScriptedGuard("scripted", slow_s=5)
    _, rows = await judge_set(labelled("a", "b"), [Bench(subject(), guard)], Pace(timeout_s=0.01))
    assert {row.judged["inject"].error for row in rows} == {"timeout"}


async def test_a_crash_is_an_error_and_is_logged_once_without_the_text() -> None:
    with capture_logs() as logged:
        _, rows = await judge_set(labelled("secret a", "secret b"), [Bench(subject(), Watcher(crashes=True))], Pace())
    assert {row.judged["inject"].error for row in rows} == {"bad_answer"}
    assert len(logged) == 1
    assert "secret" not in str(logged)


async def test_the_guard_is_told_the_conversation() -> None:
    watcher = Watcher()
    turns = (Turn("user", "/messages/0", "before"),)
    whole = LabelledSet(
        "s", DIGEST, (Row(1, "now", True, turns=turns), Row(2, "said", True, role="assistant", turns=turns))
    )
    await judge_set(whole, [Bench(subject(), watcher)], Pace(concurrency=1))
    told = {tuple(turn.text for turn in context.turns) for context in watcher.contexts}
    assert told == {("before", "now"), ("before",)}


async def test_equal_texts_have_equal_ids_that_change_with_every_run() -> None:
    """So a file of scores cannot be searched for a guessed text."""
    bench = [Bench(subject(), ScriptedGuard("scripted"))]
    _, first = await judge_set(labelled("a", "b", "a"), bench, Pace())
    _, second = await judge_set(labelled("a", "b", "a"), bench, Pace())
    assert first[0].id == first[2].id != first[1].id
    assert {row.id for row in first}.isdisjoint(row.id for row in second)


async def test_detectors_are_judged_one_after_the_other_and_reported_together() -> None:
    benches = [
        Bench(subject(name), ScriptedGuard(name, {"bad": Verdict(score)})) for name, score in (("a", 1), ("b", 2))
    ]
    seen: list[tuple[str, int, int]] = []
    subjects, rows = await judge_set(labelled("bad"), benches, Pace(), lambda *told: seen.append(told))
    assert [one.name for one in subjects] == ["a", "b"]
    assert {name: judged.score_ppm for name, judged in rows[0].judged.items()} == {"a": 1, "b": 2}
    assert seen == [("a", 1, 1), ("b", 1, 1)]


@pytest.mark.parametrize(("rows", "most", "expected"), [(1, 9, []), (10, 2, [0, 5]), (6, 200, [0, 2, 4]), (0, 5, [])])
def test_the_sample_is_spread_over_the_set(rows: int, most: int, expected: list[int]) -> None:
    assert sample(rows, most) == expected


def test_hardware_says_what_numbers_were_taken_on() -> None:
    assert "cores" in hardware()
    assert "GiB" in hardware()
