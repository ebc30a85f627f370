"""How two policies differ in what goes on without a verdict, and in who is asked: looser is weaker.

An exchange that nobody may stop in time, that fewer people have to approve, or that goes on although no rule looked, is
one that was stopped before.
"""

from __future__ import annotations

from typing import TypeAlias

from policies.changes import About, Change, Effect, yes_or_no
from policies.model import Review, Risk
from policies.read_times import day_of
from policies.spoken import duration

OnError: TypeAlias = tuple[str, Risk | None, Review | None]
"""What one place says: `closed`, `review` or `open`, or nothing, with who accepts it or is asked."""
_LOOSE = {"closed": 0, "review": 1, "open": 2}


def diff_on_error(about: About, before: OnError, after: OnError) -> list[Change]:
    """What follows from a missing verdict. Open, or open for longer, is weaker; so is what is no longer closed here."""
    if before == after:
        return []
    if before[2] and after[2]:
        return diff_reviews(about, before[2], after[2])
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
    return [about.change("on_error", _told_error(before), _told_error(after), effect, reasons[effect])]


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
    was_shown, now_shown = (_accepted("allow", risk) or "deny" for risk in (before, after))
    return [About("policy", "uncovered").change("uncovered", was_shown, now_shown, effect, reasons[effect])]


def diff_reviews(about: About, before: Review, after: Review) -> list[Change]:
    """Who has to approve, and what follows when nobody does."""
    return [
        *about.moved(
            "quorum",
            before.quorum,
            after.quorum,
            more_is=Effect.STRONGER,
            up="more people have to approve",
            down="fewer people have to approve",
            shown="{} people".format,
        ),
        *about.moved(
            "distinct_from",
            before.distinct,
            after.distinct,
            more_is=Effect.STRONGER,
            up="whoever asked may not approve",
            down="whoever asked may approve",
            shown=yes_or_no,
        ),
        *_ending(about, before.risk, after.risk),
        *about.renamed("review queue", before.queue, after.queue, "who is asked"),
        *about.renamed("hold", before.hold, after.hold, "what waits"),
        *_waiting(about, before, after),
    ]


def _ending(about: About, before: Risk | None, after: Risk | None) -> list[Change]:
    """What happens when the time is up: a block, or it goes on, as long as somebody accepts that."""
    was, now = _until(before), _until(after)
    if was == now:
        return []
    is_looser = now > was
    reason = "what nobody decided goes on" if is_looser else "what nobody decided is blocked, or sooner"
    effect = Effect.WEAKER if is_looser else Effect.STRONGER
    was_shown, now_shown = (_accepted("allow", risk) or "block" for risk in (before, after))
    return [about.change("on_timeout", was_shown, now_shown, effect, reason)]


def _waiting(about: About, before: Review, after: Review) -> list[Change]:
    """How long it waits is no weakening where it ends in a block; where it goes on then, less time is."""
    if not (before.risk and after.risk):
        waits = duration(before.timeout_ms), duration(after.timeout_ms)
        return about.renamed("timeout", *waits, "how long it is waited for, then it is blocked")
    return about.moved(
        "timeout",
        before.timeout_ms,
        after.timeout_ms,
        more_is=Effect.STRONGER,
        up="people have more time",
        down="people have less time",
        shown=duration,
    )


def _until(risk: Risk | None) -> int:
    return risk.until if risk else 0


def _told_error(said: OnError) -> str:
    kind, risk, people = said
    if people:
        return f"review by {people.quorum} of {people.queue}"
    return _accepted(kind, risk) or kind or "inherited"


def _accepted(kind: str, risk: Risk | None) -> str:
    return f"{kind} until {day_of(risk.until)} ({risk.ticket})" if risk else ""
