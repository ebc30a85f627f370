"""What the scheduler runs, and what it keeps in mind about it.

A unit is a sequence, or several that are one. Its place in the order is its class and when it arrived, so who had to
yield comes back before all who came later. One that yielded often, or was passed by many, goes before all classes.
"""

from __future__ import annotations

from collections.abc import Sequence as ListOf
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from engine.errors import RequestError
from engine.events import GenerateRequest
from engine.runner import Run
from engine.slot import Slot

MAX_YIELDS = 4
"""Whoever had to yield so often does not have to any more."""
PATIENCE = 32
"""Whoever saw so many begin that came later is the next to begin, whatever their class."""


class Unit(Protocol):
    """A Sequence or a Chain."""

    slot: Slot | None
    computed: int

    @property
    def request(self) -> GenerateRequest: ...
    @property
    def ids(self) -> list[int]:
        """Prompt, and what was drawn."""

    @property
    def first_wanted(self) -> int:
        """What lies before this token may be taken over instead of computed."""

    @property
    def cancelled(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def is_sound(self) -> bool:
        """False once its scores were not finite numbers: then its keys and values are not to be kept."""

    def next_ids(self, budget: int) -> ListOf[int]: ...
    def wanted(self, count: int) -> ListOf[int]: ...
    def ahead(self, logits_sv: Tensor) -> Tensor | None:
        """The token that these lead to, still on its device, where nothing else has to be known."""

    def take(self, logits_sv: Tensor, token: int | None = None) -> None:
        """What was wanted, and the token if it was drawn ahead."""

    def fail(self, error: RequestError) -> None: ...


@dataclass(slots=True, eq=False)
class Ticket:
    """A unit in the scheduler's hands."""

    unit: Unit
    number: int
    """Counts up with arrival."""
    yields: int = 0
    """How often it gave its room to another."""
    reached: int = 0
    """Positions that were computed for it, or taken over, before it yielded. Going there again counts for nobody."""

    passed: int = 0
    """How many began that had come later."""

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Lower goes first and yields last."""
        return not self.is_urgent, self.unit.request.priority, self.number

    @property
    def is_urgent(self) -> bool:
        return self.yields >= MAX_YIELDS or self.passed >= PATIENCE

    @property
    def is_firm(self) -> bool:
        """Begins only with all the room that it may need, and keeps that: nobody is to yield over and over."""
        return self.yields > 0

    @property
    def slot(self) -> Slot:
        if self.unit.slot is None:
            raise AssertionError("a running sequence has a slot")
        return self.unit.slot

    @property
    def left(self) -> int:
        """Tokens that have to go through the model before the next one can be drawn; one while it answers."""
        return len(self.unit.ids) - self.slot.filled

    @property
    def is_wanted(self) -> bool:
        return not self.unit.cancelled and not self.unit.ended

    def run(self, count: int) -> Run:
        """Its next tokens."""
        ids = self.unit.next_ids(count)
        return Run(self.slot, ids, self.unit.wanted(len(ids)), self.unit.request.adapter, self.unit.request.pictures)

    def advanced(self) -> int:
        """Count what a step computed; how much of it had been computed before."""
        filled = self.slot.filled
        fresh = max(0, filled - self.reached)
        self.unit.computed += fresh
        self.reached = max(self.reached, filled)
        return fresh
