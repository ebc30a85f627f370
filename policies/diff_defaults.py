"""How limits and streams of two policies differ. A limit that admits more is weaker: what it refused is judged now."""

from __future__ import annotations

from dataclasses import fields

from policies.changes import About, Change, Effect
from policies.settings import STREAM_MODES, Amount, Limits, StreamSpec
from policies.spoken import duration

_NEVER_MS = 10**12
_MORE, _LESS = "requests that were refused are admitted", "requests that were admitted are refused"


def diff_limits(before: Limits, after: Limits) -> list[Change]:
    """Every limit that moved."""
    changes: list[Change] = []
    for one in fields(Limits):
        was, now = getattr(before, one.name), getattr(after, one.name)
        about = About("limit", one.name)
        changes += about.moved("limit", was, now, more_is=Effect.WEAKER, up=_MORE, down=_LESS, shown=_limit)
    return changes


def _limit(value: int) -> str:
    return str(value).lower()


def diff_streams(before: StreamSpec, after: StreamSpec) -> list[Change]:
    """When text of an answer may leave. Between two modes only the mode counts."""
    if before.mode != after.mode:
        early = STREAM_MODES.index(after.mode) > STREAM_MODES.index(before.mode)
        effect = Effect.WEAKER if early else Effect.STRONGER
        much = "any" if "shadow_only" in (before.mode, after.mode) else "all"
        reason = f"text {'leaves' if early else 'no longer leaves'} before {much} of the answer was judged"
        return [About("stream", "mode").change("mode", before.mode, after.mode, effect, reason)]
    waits = duration(before.max_wait_ms), duration(after.max_wait_ms)
    return [
        *_holdback(before.holdback, after.holdback),
        *_delay(before.max_delay_ms, after.max_delay_ms),
        *About("stream", "window").renamed("window", _window(before), _window(after), "how much is judged together"),
        *About("stream", "max_wait").renamed("max_wait", *waits, "how long text waits for a full window"),
    ]


def _holdback(before: Amount, after: Amount) -> list[Change]:
    """Amounts are compared as characters and shown as they are written."""
    written = {after.chars: f"{after.count} {after.unit}", before.chars: f"{before.count} {before.unit}"}
    return About("stream", "holdback").moved(
        "holdback",
        before.chars,
        after.chars,
        more_is=Effect.STRONGER,
        up="more is kept back until what follows is known",
        down="less is kept back until what follows is known",
        shown=written.__getitem__,
    )


def _delay(before: int, after: int) -> list[Change]:
    """0 is no promise, which holds text back longest."""
    return About("stream", "max_delay").moved(
        "max_delay",
        before or _NEVER_MS,
        after or _NEVER_MS,
        more_is=Effect.STRONGER,
        up="what is held back leaves later",
        down="what is held back leaves sooner, without what follows",
        shown=lambda ms: "none" if ms == _NEVER_MS else duration(ms),
    )


def _window(stream: StreamSpec) -> str:
    least, most = stream.window_chars, stream.window_most_chars
    return f"{least} characters" if least == most else f"{least} to {most} characters"
