"""What a check of a policy may know of the gateway it is for: its people, its retention classes, its servers, the day.

All of it is optional: a policy is checked on an author's machine, too. What is not known is not said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Site:
    """One gateway, as far as it is known."""

    at: int
    """Seconds since 1970."""
    people: Callable[[str], int] | None = None
    """How many may vote on a queue; None: not known."""
    classes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Seconds for which text is kept, by retention class; 0 for those without an end."""
    remote: frozenset[str] = frozenset()
    """Names after `use:` of guards that a server runs, which says by itself which weights it has."""
    nowhere: Callable[[str, str], str] | None = None
    """Of the model and the engine of a route: why it leads nowhere; empty where it does not."""
