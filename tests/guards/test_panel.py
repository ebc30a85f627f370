"""The panel: all detectors at once under one deadline, and every failure is a finding with an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from guards.errors import ErrorKind, GuardError
from guards.memory import Remembering
from guards.panel import Panel
from guards.rules.base import INLINE_ASCII, RuleGuard
from guards.rules.regex import RegexGuard
from guards.rules.secrets import SecretsGuard
from guards.rules.special_tokens import SpecialTokensGuard
from guards.rules.unicode import UnicodeGuard
from guards.verdict import NO_CONTEXT, PPM, Context, Finding, Guard, GuardIdentity, Part, Scope, Verdict
from tests.doubles import jumping

SECRET_TEXT = "the user's own words"


@dataclass(frozen=True)
class Spec:
    name: str
    timeout_s: float = 1.0


class ScriptedGuard:
    """Answers, raises or waits, as told."""

    def __init__(self, answer: Callable[[Sequence[Part]], list[Verdict]], wait_s: float = 0.0) -> None:
        self.identity = GuardIdentity("scripted", "scripted/1")
        self.answer, self.wait_s = answer, wait_s
        self.batches: list[list[str]] = []
        self.was_cancelled = False

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        self.batches.append([part.text for part in parts])
        try:
            await asyncio.sleep(self.wait_s)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return self.answer(parts)


class BrokenRule(RuleGuard):
    def spans(self, text: str) -> None:  # type: ignore[override]
        raise LookupError(text)


def part(text: str, scope: Scope = Scope.USER) -> Part:
    return Part(scope, f"/{text[:3]}", "user", text)


def by_length(parts: Sequence[Part]) -> list[Verdict]:
    return [Verdict(len(part.text)) for part in parts]


def raising(exc: BaseException) -> Callable[[Sequence[Part]], list[Verdict]]:
    def answer(parts: Sequence[Part]) -> list[Verdict]:
        raise exc

    return answer


async def judge(panel: Panel, parts: Sequence[Part], specs: Sequence[Spec], seconds: float = 5.0) -> list[Finding]:
    deadline = asyncio.get_running_loop().time() + seconds
    return await panel.judge(parts, lambda scope: specs, deadline)


async def test_each_detector_gets_one_batch_and_findings_come_by_part() -> None:
    a, b = ScriptedGuard(by_length), ScriptedGuard(by_length)
    parts = [part("one"), part("threes")]

    findings = await judge(Panel({"a": a, "b": b}), parts, [Spec("b"), Spec("a")])

    assert a.batches == b.batches == [["one", "threes"]]
    assert [(f.part.text, f.detector, f.verdict and f.verdict.score_ppm) for f in findings] == [
        ("one", "b", 3),
        ("one", "a", 3),
        ("threes", "b", 6),
        ("threes", "a", 6),
    ]


async def test_only_the_detectors_wanted_for_a_scope_see_its_parts() -> None:
    user, tool = ScriptedGuard(by_length), ScriptedGuard(by_length)
    wanted = {Scope.USER: [Spec("user")], Scope.TOOL_RESULT: [Spec("tool"), Spec("user")], Scope.SYSTEM: []}
    parts = [part("u1"), part("tool1", Scope.TOOL_RESULT), part("sys", Scope.SYSTEM), part("u222")]

    findings = await Panel({"user": user, "tool": tool}).judge(
        parts, lambda scope: wanted[scope], asyncio.get_running_loop().time() + 1
    )

    assert user.batches == [["u1", "tool1", "u222"]]
    assert tool.batches == [["tool1"]]
    assert [(f.part.text, f.detector) for f in findings] == [
        ("u1", "user"),
        ("tool1", "tool"),
        ("tool1", "user"),
        ("u222", "user"),
    ]
    assert [f.verdict.score_ppm for f in findings if f.verdict] == [2, 5, 5, 4]


@jumping
async def test_detectors_run_in_parallel() -> None:
    guards = {name: ScriptedGuard(by_length, wait_s=0.1) for name in "abcde"}
    loop = asyncio.get_running_loop()
    started = loop.time()

    await judge(Panel(guards), [part("x")], [Spec(name) for name in guards])

    assert loop.time() - started == pytest.approx(0.1)


async def test_a_finding_says_how_long_it_took() -> None:
    [finding] = await judge(Panel({"a": ScriptedGuard(by_length, wait_s=0.05)}), [part("x")], [Spec("a")])
    assert finding.us >= 50_000


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (raising(GuardError("g", ErrorKind.OVERLOAD, "full")), ErrorKind.OVERLOAD),
        (raising(TimeoutError()), ErrorKind.TIMEOUT),
        (raising(ZeroDivisionError(SECRET_TEXT)), ErrorKind.BAD_ANSWER),
        (raising(asyncio.CancelledError()), ErrorKind.UNAVAILABLE),
        (lambda parts: [], ErrorKind.BAD_ANSWER),
        (lambda parts: [Verdict(0)] * 9, ErrorKind.BAD_ANSWER),
        (lambda parts: None, ErrorKind.BAD_ANSWER),
    ],
)
async def test_a_guard_that_fails_is_an_error_for_its_parts_and_for_nobody_else(
    answer: Callable[[Sequence[Part]], list[Verdict]], kind: ErrorKind
) -> None:
    crashes: list[tuple[str, str]] = []
    panel = Panel(
        {"bad": ScriptedGuard(answer), "good": ScriptedGuard(by_length), "rule": UnicodeGuard()},
        report=lambda detector, exc: crashes.append((detector, type(exc).__name__)),
    )

    findings = await judge(panel, [part("one"), part("two")], [Spec("bad"), Spec("good"), Spec("rule")])

    assert [f.error for f in findings] == [kind, None, None, kind, None, None]
    assert len(crashes) <= 1


async def test_a_detector_without_a_guard_is_an_error_not_a_pass() -> None:
    (finding,) = await judge(Panel({}), [part("x")], [Spec("gone")])

    assert finding.error is ErrorKind.UNAVAILABLE


async def test_why_there_is_no_verdict_is_said_to_whoever_wants_to_know() -> None:
    said: list[tuple[str, ErrorKind, str]] = []
    guards: dict[str, Guard] = {
        "away": ScriptedGuard(raising(GuardError("scripted", ErrorKind.UNAVAILABLE, "no connection: ConnectError"))),
        "slow": ScriptedGuard(by_length, wait_s=60),
    }

    await judge(
        Panel(guards, complain=lambda *one: said.append(one)), [part(SECRET_TEXT)], [Spec("away"), Spec("slow", 0.01)]
    )

    assert said == [
        ("away", ErrorKind.UNAVAILABLE, "no connection: ConnectError"),
        ("slow", ErrorKind.TIMEOUT, "no verdict in time"),
    ]


async def test_a_rule_that_crashes_is_an_error_and_its_report_holds_no_text() -> None:
    panel = Panel({"broken": BrokenRule("broken", 1), "good": UnicodeGuard()})

    with capture_logs() as logs:
        findings = await judge(panel, [part(SECRET_TEXT)], [Spec("broken"), Spec("good")])

    assert [finding.error for finding in findings] == [ErrorKind.BAD_ANSWER, None]
    assert logs[0]["event"] == "guard_crashed"
    assert logs[0]["error"] == "LookupError"
    assert SECRET_TEXT not in repr(logs)


@pytest.mark.parametrize(("own_s", "common_s"), [(0.05, 5.0), (5.0, 0.05), (5.0, -1.0)])
@jumping
async def test_a_slow_guard_times_out_at_its_own_limit_or_the_common_deadline(own_s: float, common_s: float) -> None:
    slow, fast = ScriptedGuard(by_length, wait_s=60), ScriptedGuard(by_length)
    loop = asyncio.get_running_loop()
    started = loop.time()

    findings = await judge(
        Panel({"slow": slow, "fast": fast, "rule": UnicodeGuard()}),
        [part("x")],
        [Spec("slow", own_s), Spec("rule")],
        common_s,
    )

    assert [finding.error for finding in findings] == [ErrorKind.TIMEOUT, None]
    assert slow.was_cancelled
    assert loop.time() - started == pytest.approx(max(0, min(own_s, common_s)))


async def test_cancelling_the_request_cancels_every_guard() -> None:
    guards = {name: ScriptedGuard(by_length, wait_s=60) for name in "ab"}
    request = asyncio.create_task(judge(Panel(guards), [part("x")], [Spec("a", 60), Spec("b", 60)], 60))
    await asyncio.sleep(0.02)

    request.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request
    assert all(guard.was_cancelled for guard in guards.values())


async def test_large_text_for_a_rule_goes_through_a_task_with_the_same_verdict() -> None:
    large = "x" * INLINE_ASCII + " <|eot|>"

    (finding,) = await judge(Panel({"tokens": SpecialTokensGuard()}), [part(large)], [Spec("tokens")])

    assert finding.verdict is not None
    assert finding.verdict.spans[0].start == INLINE_ASCII + 1


async def test_no_parts_and_no_detectors_give_no_findings() -> None:
    assert await judge(Panel({}), [], [Spec("a")]) == []
    assert await judge(Panel({}), [part("x")], []) == []


async def test_rules_alone_cost_a_fraction_of_a_millisecond() -> None:
    """The hot path. Measured it is far below 100 µs; the bound here is loose for busy machines."""
    guards: dict[str, Guard] = {
        "hidden": UnicodeGuard(),
        "tokens": SpecialTokensGuard(),
        "secrets": SecretsGuard(),
        "dose": RegexGuard(r"\d+ mg"),
    }
    panel, specs = Panel(guards), [Spec(name) for name in guards]
    parts = [part("You are a helpful assistant. " * 5), part("Please explain this text. " * 10), part("Hello")]
    best = 1.0
    for _ in range(50):
        started = time.process_time()
        findings = await judge(panel, parts, specs)
        best = min(best, time.process_time() - started)

    assert len(findings) == 12
    assert all(finding.verdict == Verdict(0) for finding in findings)
    assert best < 0.001


async def test_a_rule_finding_carries_its_spans() -> None:
    (finding,) = await judge(Panel({"s": SecretsGuard()}), [part('password = "hunter22"')], [Spec("s")])

    assert finding.verdict is not None
    assert (finding.verdict.score_ppm, len(finding.verdict.spans)) == (PPM, 1)


def test_guards_that_remember_are_known_by_their_detector() -> None:
    remembering = Remembering(ScriptedGuard(by_length))
    panel = Panel({"model": remembering, "plain": ScriptedGuard(by_length)})

    assert panel.memories == {"model": remembering}
