"""How limits and streams of two policies differ. A limit that admits more is weaker: what it refused is judged now."""

from __future__ import annotations

from dataclasses import fields

from policies.changes import Change, Effect, moved, renamed
from policies.settings import STREAM_MODES, Amount, Limits, StreamSpec
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
        early = STREAM_MODES.index(after.mode) > STREAM_MODES.index(before.mode)
        effect = Effect.WEAKER if early else Effect.STRONGER
        much = "any" if "shadow_only" in (before.mode, after.mode) else "all"
        reason = f"text {'leaves' if early else 'no longer leaves'} before {much} of the answer was judged"
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
