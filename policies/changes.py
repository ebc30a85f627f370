"""One difference between two policies: what it is about, how it reads before and after, and which way it goes.

A change is `weaker` when something that was stopped, noted or refused before may not be now. What cannot be compared
(another pattern, another model) is `weaker`, too: a gate that let it through could be walked around. `other` is
what changes no decision: names, messages, tests, shadow rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """Which way a change goes."""

    WEAKER = "weaker"
    STRONGER = "stronger"
    OTHER = "other"

    @property
    def turned(self) -> Effect:
        """That of the same change made backwards."""
        return {Effect.WEAKER: Effect.STRONGER, Effect.STRONGER: Effect.WEAKER}.get(self, self)


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One difference. Sorted by what it is about."""

    subject: str
    """`policy`, `scope`, `rule`, `detector`, `limit`, `stream`, `template` or `test`."""
    name: str
    """Which of them."""
    aspect: str
    """What of it: `added`, `removed`, or a word of the policy language."""
    before: str
    after: str
    effect: Effect
    reason: str
    rules: tuple[str, ...] = ()
    """The rules that a detector's change moves, sorted."""


def moved(
    subject: str,
    name: str,
    aspect: str,
    numbers: tuple[int, int],
    shown: tuple[str, str],
    more_is: Effect,
    reasons: tuple[str, str],
) -> list[Change]:
    """A number that went up or down. `reasons`: why up and why down has its effect."""
    before, after = numbers
    if before == after:
        return []
    effect = more_is if after > before else more_is.turned
    return [Change(subject, name, aspect, *shown, effect, reasons[0] if after > before else reasons[1])]


def renamed(subject: str, name: str, aspect: str, before: str, after: str, reason: str) -> list[Change]:
    """A value that decides nothing."""
    return [] if before == after else [Change(subject, name, aspect, before, after, Effect.OTHER, reason)]
