"""What a check of policies/lint.py says: where, what, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from policies.errors import Place

Remarks: TypeAlias = tuple[Place, str, str]
"""(place, what was found, what to do), of a check whose code is known."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing to look at."""

    place: Place
    code: str
    """Stable: for CI, and for docs/policies.md."""
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.code}: {self.problem} ({self.fix})"
