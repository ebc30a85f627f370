"""How an exchange comes in: it is given a place, the log it belongs to, and the one policy that decides it.

The process that has the log counts and decides by itself (`OwnDoor`); another one asks it (gateway/worker). Whoever
came in leaves, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.admission import Admission
from gateway.exchange import Caller
from gateway.records import Book
from gateway.steps import InForce


class Visit(Protocol):
    """An exchange that was let in."""

    @property
    def records(self) -> Book:
        """Where its records go."""
        ...

    def in_force(self) -> InForce:
        """The policy that decides it. To be asked once."""
        ...

    def leave(self) -> None:
        """It has ended."""
        ...


class Door(Protocol):
    """Lets exchanges in."""

    async def enter(self, caller: Caller, exchange_id: str) -> Visit:
        """Raises TooMany for a key with too many open, Unavailable where no exchange can begin."""
        ...


class OwnDoor:
    """Of the process that counts."""

    def __init__(
        self,
        admission: Admission,
        records: Book,
        in_force: Callable[[Caller, str], InForce],
        bound: Callable[[Caller, str], InForce | None] = lambda _caller, _exchange: None,
    ) -> None:
        """`in_force` is the policy for everybody, `bound` the one for this caller alone; None: there is none."""
        self.records, self._admission, self._in_force, self._bound = records, admission, in_force, bound

    async def enter(self, caller: Caller, exchange_id: str) -> Visit:
        self._admission.enter(caller.key_id)
        return _OwnVisit(self, caller, exchange_id)

    def policy_for(self, caller: Caller, exchange_id: str) -> InForce:
        """The one at this moment."""
        return self._bound(caller, exchange_id) or self._in_force(caller, exchange_id)

    def left(self, caller: Caller) -> None:
        self._admission.leave(caller.key_id)


class _OwnVisit:
    __slots__ = ("_caller", "_door", "_exchange", "records")

    def __init__(self, door: OwnDoor, caller: Caller, exchange_id: str) -> None:
        self._door, self._caller, self._exchange, self.records = door, caller, exchange_id, door.records

    def in_force(self) -> InForce:
        return self._door.policy_for(self._caller, self._exchange)

    def leave(self) -> None:
        self._door.left(self._caller)
