"""How many exchanges may be open at once, in all and for one key, and whether any may be.

Each open exchange holds a body, a place in the guards' queues and a connection to the model server. Without a bound one
key could fill all three, and every other tenant would get its 503. Refusing is immediate: a queue here would only hide
the overload and hold more memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import TooMany, Unavailable


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Exchanges open at once."""

    total: int = 512
    per_key: int = 128


class Admission:
    """Counts who is in. One per process, used from its event loop only."""

    def __init__(self, limits: Concurrency, audit_trouble: Callable[[], str | None] = lambda: None) -> None:
        """`audit_trouble`: why what is admitted now would not be evidence, or None; exchanges that are open go on."""
        self._limits, self._audit_trouble = limits, audit_trouble
        self._open: Counter[str] = Counter()

    def enter(self, key_id: str) -> None:
        """Let one in. Raises TooMany for a key with too many open, Unavailable for the process or its audit log."""
        if self._audit_trouble() is not None:
            raise Unavailable("audit_unavailable", "the audit log is not anchored outside this machine")
        if self._open[key_id] >= self._limits.per_key:
            raise TooMany("too_many_requests", f"this key has {self._limits.per_key} exchanges open already")
        if self._open.total() >= self._limits.total:
            raise Unavailable("overloaded", f"the gateway has {self._limits.total} exchanges open already")
        self._open[key_id] += 1

    def leave(self, key_id: str) -> None:
        """One that was let in has ended."""
        self._open[key_id] -= 1
        if not self._open[key_id]:
            del self._open[key_id]
