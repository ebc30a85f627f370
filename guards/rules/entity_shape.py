"""One way in which an identifier is written, and the words that tell of it. What the ways are is data elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """One way in which an entity is written."""

    label: str
    pattern: str
    """In RE2's syntax; what it matches is the entity."""
    check: Callable[[str], bool] | None = None
    near: str = ""
    """A pattern of words, one of which has to be near; empty: the form says enough."""
    locales: tuple[str, ...] = ()
    """Where it is used; empty: everywhere."""
    needs: str = ""
    """A character without which a text holds none; empty: a digit."""


def told_by(*words: str) -> str:
    """Any of these words, in any case. That they stand alone is seen by the reader: `\\b` of RE2 knows ASCII only."""
    return "(?i)" + "|".join(words)
