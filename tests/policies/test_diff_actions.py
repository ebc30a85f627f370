"""Beside the action: whatever tells fewer people, asks another model or keeps more of what was found is weaker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.changes import About, Effect
from policies.diff_actions import diff_actions, loudness
from policies.model import Action, Do, Review

ABOUT = About("rule", "r")
FLAG = Do(Action.FLAG, queue="triage", severity="high")
CUT = Do(Action.REDACT, replacement="[{label}]")
SENT = Do(Action.ROUTE, model="small", engine="here", require_seed=True)
TEXT = Do(Action.REPLACE, replacement="[gone]")


@pytest.mark.parametrize(
    ("before", "after", "aspect", "effect"),
    [
        (FLAG, replace(FLAG, severity="low"), "flag", Effect.WEAKER),
        (FLAG, replace(FLAG, queue="", severity=""), "flag", Effect.WEAKER),
        (FLAG, replace(FLAG, queue="other"), "queue", Effect.OTHER),
        (FLAG, replace(FLAG, field="seen"), "annotate", Effect.OTHER),
        (replace(FLAG, field="seen"), FLAG, "annotate", Effect.WEAKER),
        (SENT, replace(SENT, model="large"), "model", Effect.WEAKER),
        (SENT, replace(SENT, engine=""), "engine", Effect.WEAKER),
        (SENT, replace(SENT, require_seed=False), "require_seed", Effect.WEAKER),
        (CUT, replace(CUT, before_audit=True), "before_audit", Effect.STRONGER),
        (CUT, replace(CUT, reversible=True), "reversible", Effect.WEAKER),
        (CUT, replace(CUT, replacement="{last4}"), "shown", Effect.WEAKER),
        (TEXT, Do(Action.REPLACE, template="sorry"), "replaces", Effect.STRONGER),
        (Do(Action.BLOCK, code="a"), Do(Action.BLOCK, code="b"), "code", Effect.OTHER),
    ],
)
def test_each_edit_goes_one_way_and_back_the_other(before: Do, after: Do, aspect: str, effect: Effect) -> None:
    assert (aspect, effect) in [(one.aspect, one.effect) for one in diff_actions(ABOUT, before, after)]
    back = effect.turned if aspect not in ("annotate", "model", "engine") else None
    assert back is None or (aspect, back) in [(one.aspect, one.effect) for one in diff_actions(ABOUT, after, before)]
    assert diff_actions(ABOUT, before, before) == []


def test_who_has_to_approve_is_a_part_of_what_a_rule_does() -> None:
    asks = Do(Action.REVIEW, review=Review("q", 2, "", 60_000, True))
    fewer = Do(Action.REVIEW, review=Review("q", 1, "", 60_000, True))
    assert [(one.aspect, one.effect) for one in diff_actions(ABOUT, asks, fewer)] == [("quorum", Effect.WEAKER)]


def test_who_is_told_nothing_is_told_least() -> None:
    silent, low, high = Do(Action.FLAG), replace(FLAG, severity="low"), FLAG
    assert loudness(silent) == 0 < loudness(low) < loudness(high)
