"""Limits and streams: what admits more or lets text go sooner is weaker."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from policies.changes import Effect
from policies.diff_defaults import diff_limits, diff_streams
from policies.settings import Amount, Limits, StreamSpec

WINDOW = StreamSpec("window", Amount(64, "tokens"), Amount(256, "characters"))


@pytest.mark.parametrize("name", [one.name for one in fields(Limits)])
def test_every_limit_that_admits_more_is_weaker(name: str) -> None:
    low = replace(Limits(), **{name: False if name == "logprobs" else getattr(Limits(), name)})
    high = replace(low, **{name: True if name == "logprobs" else getattr(low, name) + 1})
    assert [(one.name, one.effect) for one in diff_limits(low, high)] == [(name, Effect.WEAKER)]
    assert [one.effect for one in diff_limits(high, low)] == [Effect.STRONGER]
    assert diff_limits(low, low) == []


@pytest.mark.parametrize(
    ("edited", "aspect", "effect"),
    [
        (StreamSpec("buffer"), "mode", Effect.STRONGER),
        (replace(WINDOW, holdback=Amount(64, "tokens")), "", None),
        (replace(WINDOW, holdback=Amount(65, "tokens")), "holdback", Effect.STRONGER),
        (replace(WINDOW, max_delay_ms=3000), "max_delay", Effect.WEAKER),
        (replace(WINDOW, window=Amount(65, "tokens")), "window", Effect.OTHER),
        (replace(WINDOW, max_wait_ms=100), "max_wait", Effect.OTHER),
    ],
)
def test_text_that_leaves_sooner_is_weaker(edited: StreamSpec, aspect: str, effect: Effect | None) -> None:
    expected = [] if effect is None else [(aspect, effect)]
    assert [(one.aspect, one.effect) for one in diff_streams(WINDOW, edited)] == expected
    back = [] if effect is None else [(aspect, effect.turned)]
    assert [(one.aspect, one.effect) for one in diff_streams(edited, WINDOW)] == back
