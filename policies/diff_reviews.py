"""How two policies differ in what goes on without a verdict, and in who is asked: looser is weaker.

An exchange that nobody may stop in time, that fewer people have to approve, or that goes on although no rule looked, is
one that was stopped before.
"""

from __future__ import annotations

from typing import TypeAlias

from policies.changes import Change, Effect, moved, renamed
from policies.model import Review, Risk
from policies.read_times import day_of
from policies.spoken import duration

OnError: TypeAlias = tuple[str, Risk | None, Review | None]
"""What one place says: `closed`, `review` or `open`, or nothing, with who accepts it or is asked."""
_LOOSE = {"closed": 0, "review": 1, "open": 2}


def diff_on_error(what: tuple[str, str], before: OnError, after: OnError) -> list[Change]:
    """What follows from a missing verdict. Open, or open for longer, is weaker; so is what is no longer closed here."""
    if before == after:
        return []
    if before[2] and after[2]:
        return diff_reviews(what, before[2], after[2])
    was, now = _until(before[1]), _until(after[1])
    if before[0] == after[0] and was == now:
        effect = Effect.OTHER
    else:
        is_looser = now > was or _LOOSE.get(after[0], 0) > _LOOSE.get(before[0], 0)
        is_weaker = is_looser or (before[0] in ("closed", "review") and not after[0])
        effect = Effect.WEAKER if is_weaker else Effect.STRONGER
    reasons = {
        Effect.WEAKER: "what was not judged may pass",
        Effect.STRONGER: "what was not judged stops sooner",
        Effect.OTHER: "who accepts it",
    }
    return [Change(*what, "on_error", _told_error(before), _told_error(after), effect, reasons[effect])]


def diff_uncovered(before: Risk | None, after: Risk | None) -> list[Change]:
    """Whether parts pass that no rule looks at, and until when."""
    if before == after:
        return []
    was, now = _until(before), _until(after)
    effect = Effect.OTHER if was == now else Effect.WEAKER if now > was else Effect.STRONGER
    reasons = {
        Effect.WEAKER: "parts may pass that no rule looked at",
        Effect.STRONGER: "parts that no rule looks at are refused, or sooner",
        Effect.OTHER: "who accepts it",
    }
    shown = (_accepted("allow", before) if before else "deny", _accepted("allow", after) if after else "deny")
    return [Change("policy", "uncovered", "uncovered", *shown, effect, reasons[effect])]


def diff_reviews(what: tuple[str, str], before: Review, after: Review) -> list[Change]:
    """Who has to approve, and what follows when nobody does."""
    people = (f"{before.quorum} people", f"{after.quorum} people")
    waits = (duration(before.timeout_ms), duration(after.timeout_ms))
    yes = {True: "yes", False: "no"}
    ends = (_accepted("allow", before.risk) or "block", _accepted("allow", after.risk) or "block")
    return [
        *moved(
            *(*what, "quorum", (before.quorum, after.quorum), people),
            *(Effect.STRONGER, ("more people have to approve", "fewer people have to approve")),
        ),
        *moved(
            *(*what, "distinct_from", (before.distinct, after.distinct)),
            *((yes[before.distinct], yes[after.distinct]), Effect.STRONGER),
            ("whoever asked may not approve", "whoever asked may approve"),
        ),
        *moved(
            *(*what, "on_timeout", (_until(before.risk), _until(after.risk)), ends),
            *(Effect.WEAKER, ("what nobody decided goes on", "what nobody decided is blocked, or sooner")),
        ),
        *renamed(*what, "review queue", before.queue, after.queue, "who is asked"),
        *renamed(*what, "hold", before.hold, after.hold, "what waits"),
        *_waiting(what, before, after, waits),
    ]


def _waiting(what: tuple[str, str], before: Review, after: Review, waits: tuple[str, str]) -> list[Change]:
    """How long it waits is no weakening where it ends in a block; where it goes on then, less time is."""
    if not (before.risk and after.risk):
        return renamed(*what, "timeout", *waits, "how long it is waited for, then it is blocked")
    numbers, reasons = (before.timeout_ms, after.timeout_ms), ("people have more time", "people have less time")
    return moved(*what, "timeout", numbers, waits, Effect.STRONGER, reasons)


def _until(risk: Risk | None) -> int:
    return risk.until if risk else 0


def _told_error(said: OnError) -> str:
    kind, risk, people = said
    if people:
        return f"review by {people.quorum} of {people.queue}"
    return _accepted(kind, risk) or kind or "inherited"


def _accepted(kind: str, risk: Risk | None) -> str:
    return f"{kind} until {day_of(risk.until)} ({risk.ticket})" if risk else ""
