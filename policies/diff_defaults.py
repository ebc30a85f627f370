"""How limits and streams of two policies differ. A limit that admits more is weaker: what it refused is judged now."""

from __future__ import annotations

from dataclasses import fields

from policies.changes import Change, Effect, moved, renamed
from policies.model import Risk
from policies.read_times import day_of
from policies.settings import Amount, Limits, StreamSpec
from policies.spoken import duration

_MORE, _LESS = "requests that were refused are admitted", "requests that were admitted are refused"


def diff_limits(before: Limits, after: Limits) -> list[Change]:
    """Every limit that moved."""
    changes: list[Change] = []
    for one in fields(Limits):
        was, now = getattr(before, one.name), getattr(after, one.name)
        shown = (str(was).lower(), str(now).lower())
        changes += moved("limit", one.name, "limit", (int(was), int(now)), shown, Effect.WEAKER, (_MORE, _LESS))
    return changes


def diff_streams(before: StreamSpec, after: StreamSpec) -> list[Change]:
    """When text of an answer may leave. Between two modes only the mode counts."""
    if before.mode != after.mode:
        effect = Effect.WEAKER if after.mode == "window" else Effect.STRONGER
        early = effect is Effect.WEAKER
        reason = f"text {'leaves' if early else 'no longer leaves'} before all of the answer was judged"
        return [Change("stream", "mode", "mode", before.mode, after.mode, effect, reason)]
    held = (before.holdback_chars, after.holdback_chars)
    reasons = ("more is kept back until what follows is known", "less is kept back until what follows is known")
    shown = (_shown(before.holdback), _shown(after.holdback))
    return [
        *moved("stream", "holdback", "holdback", held, shown, Effect.STRONGER, reasons),
        *_delay(before.max_delay_ms, after.max_delay_ms),
        *renamed("stream", "window", "window", _window(before), _window(after), "how much is judged together"),
        *renamed(
            *("stream", "max_wait", "max_wait"),
            *(duration(before.max_wait_ms), duration(after.max_wait_ms)),
            "how long text waits for a full window",
        ),
    ]


def _delay(before: int, after: int) -> list[Change]:
    """0 is no promise, which holds text back longest."""
    shown = tuple(duration(ms) if ms else "none" for ms in (before, after))
    reasons = ("what is held back leaves later", "what is held back leaves sooner, without what follows")
    numbers = (before or 10**12, after or 10**12)
    return moved("stream", "max_delay", "max_delay", numbers, (shown[0], shown[1]), Effect.STRONGER, reasons)


def _shown(amount: Amount) -> str:
    return f"{amount.count} {amount.unit}"


def _window(stream: StreamSpec) -> str:
    least, most = stream.window_chars, stream.window_most_chars
    return f"{least} characters" if least == most else f"{least} to {most} characters"


def diff_on_error(
    what: tuple[str, str], before: tuple[str, Risk | None], after: tuple[str, Risk | None]
) -> list[Change]:
    """What follows from a missing verdict. Open, or open for longer, is weaker; so is what is no longer closed here."""
    if before == after:
        return []
    shown = _told_error(*before), _told_error(*after)
    now = after[1].until if after[1] else 0
    is_weaker = now > (before[1].until if before[1] else 0) or (before[0] == "closed" and not after[0])
    is_same = after[0] == before[0] and now == (before[1].until if before[1] else 0)
    effect = Effect.WEAKER if is_weaker else Effect.OTHER if is_same else Effect.STRONGER
    reasons = {
        Effect.WEAKER: "what was not judged may pass",
        Effect.STRONGER: "what was not judged stops sooner",
        Effect.OTHER: "who accepts it",
    }
    return [Change(*what, "on_error", *shown, effect, reasons[effect])]


def _told_error(kind: str, risk: Risk | None) -> str:
    return f"{kind} until {day_of(risk.until)} ({risk.ticket})" if risk else kind or "inherited"
