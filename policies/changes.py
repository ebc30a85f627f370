"""One difference between two policies: what it is about, how it reads before and after, and which way it goes.

A change is `weaker` when something that was stopped, noted or refused before may not be now. What cannot be compared
(another pattern, another model) is `weaker`, too: a gate that let it through could be walked around. `other` is
what changes no decision: names, messages, tests, shadow rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

N = TypeVar("N", bound=int)


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


@dataclass(frozen=True, slots=True)
class About:
    """What changes are about, and how each of them is told."""

    subject: str
    name: str

    def change(
        self, aspect: str, before: str, after: str, effect: Effect, reason: str, rules: tuple[str, ...] = ()
    ) -> Change:
        return Change(self.subject, self.name, aspect, before, after, effect, reason, rules)

    def moved(
        self, aspect: str, before: N, after: N, *, more_is: Effect, up: str, down: str, shown: Callable[[N], str] = str
    ) -> list[Change]:
        """A number or a switch that went up or down; why either has its effect."""
        if before == after:
            return []
        is_more = after > before
        effect, reason = (more_is, up) if is_more else (more_is.turned, down)
        return [self.change(aspect, shown(before), shown(after), effect, reason)]

    def renamed(self, aspect: str, before: str, after: str, reason: str) -> list[Change]:
        """A value that decides nothing."""
        return [] if before == after else [self.change(aspect, before, after, Effect.OTHER, reason)]


def yes_or_no(switch: bool) -> str:
    return "yes" if switch else "no"
