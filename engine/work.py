"""What the engine thread does one of at a time.

A lane belongs to one model and holds its waiting requests. It hands out work: a batch for a classifier, a step for a
generator. Only the engine thread runs work, so models need no locks. Whatever fails, `fail` tells those concerned.
"""

from __future__ import annotations

from typing import Protocol

from engine.errors import RequestError


class Work(Protocol):
    """One indivisible piece of computation, bounded in size so that others wait for milliseconds, not seconds."""

    def run(self) -> None:
        """Compute and hand out the results. Raising means that none was handed out."""

    def fail(self, error: RequestError) -> None:
        """Tell every request in this work that it will get nothing more."""


class Lane(Protocol):
    """One model's waiting requests. `next` is called by an engine thread only, under the loop's lock.

    A lane with `is_shared = True` may have several pieces of work running at once; any other has one at a time.
    """

    def next(self, now: float) -> Work | None:
        """The next piece of work, or None. Requests that were cancelled or are past their deadline leave here."""

    def close(self, error: RequestError) -> None:
        """Fail everything that is waiting or running."""

    @property
    def pending(self) -> int:
        """Requests that are not finished: waiting and running ones."""
