"""Verdicts remembered by content, so that a system prompt, a document or an earlier turn is judged once.

A key is a keyed hash of everything that the verdict depends on, the tenant included; the key of the hash is random and
never leaves the process. No text is kept, no error is kept, and nothing outlives the guard object that it belongs to:
a policy reload starts afresh. What one tenant's text put in never answers another's, and takes no room that another
needs: when the memory is full, the tenant that holds most gives way first.
Equal questions at the same time share one call. Who waits on another's call is not hurt by its end: if that call is
cancelled or fails, the question is asked again. A call that nobody waits for any more is cancelled.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from guards.errors import GuardError
from guards.verdict import NO_CONTEXT, Context, Guard, GuardIdentity, Part, Verdict

MAX_ENTRIES: Final = 65_536
MAX_BYTES: Final = 16 << 20
"""Of one memory, by an estimate that is rather too high."""
_ENTRY_BYTES: Final = 256
_KEY: Final = secrets.token_bytes(32)

V = TypeVar("V")


@dataclass(slots=True)
class Counts:
    """What a memory did since it was made."""

    hits: int = 0
    """Answered without a call of their own: remembered, or on the way already."""
    misses: int = 0
    entries: int = 0
    bytes: int = 0


def digest(parts: Iterable[str]) -> bytes:
    """A keyed hash in which the borders between the parts count."""
    state = hashlib.blake2b(key=_KEY, digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()


@dataclass(eq=False, slots=True)
class _Flight(Generic[V]):
    """A call on its way, and how many wait for it."""

    keys: tuple[bytes, ...]
    task: asyncio.Task[dict[bytes, V]]
    waiting: int = 0


@dataclass(slots=True)
class _Shelf(Generic[V]):
    """What is remembered for one tenant, the longest unused first."""

    entries: OrderedDict[bytes, tuple[V, int]] = field(default_factory=OrderedDict)
    bytes: int = 0


class Memory(Generic[V]):
    """Bounded by entries and bytes; shared by all tenants without being shared between them."""

    def __init__(self, size: Callable[[V], int], max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        """`size`: bytes that a value takes, roughly."""
        self._size, self._max_entries, self._max_bytes = size, max_entries, max_bytes
        self._shelves: dict[str, _Shelf[V]] = {}
        self._flights: dict[tuple[str, bytes], _Flight[V]] = {}
        self.counts = Counts()

    async def recall(
        self, tenant: str, keys: Sequence[bytes], ask: Callable[[Sequence[int]], Awaitable[Sequence[V]]]
    ) -> list[V]:
        """A value for each key. `ask` gets the places of the first occurrences that nobody knows yet."""
        places: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, place)
        known = {key: value for key in places if (value := self._look_up(tenant, key)) is not None}
        flights = {flight for key in places if key not in known and (flight := self._flights.get((tenant, key)))}
        missing = [key for key in places if key not in known and (tenant, key) not in self._flights]
        self.counts.hits += len(places) - len(missing)
        waits = [self._joined(tenant, flight) for flight in flights]
        if missing:
            waits.append(self._wait(tenant, self._start(tenant, missing, places, ask)))
        if len(waits) == 1:
            known |= await waits[0]
        elif waits:
            for found in await asyncio.gather(*waits):
                known |= found
        # What another's call did not bring is asked for again, by ourselves.
        if lost := [key for key in places if key not in known]:
            known |= await self._wait(tenant, self._start(tenant, lost, places, ask))
        return [known[key] for key in keys]

    def _look_up(self, tenant: str, key: bytes) -> V | None:
        shelf = self._shelves.get(tenant)
        found = shelf.entries.get(key) if shelf else None
        if shelf is None or found is None:
            return None
        shelf.entries.move_to_end(key)
        return found[0]

    def _start(
        self,
        tenant: str,
        keys: Sequence[bytes],
        places: dict[bytes, int],
        ask: Callable[[Sequence[int]], Awaitable[Sequence[V]]],
    ) -> _Flight[V]:
        self.counts.misses += len(keys)
        flight = _Flight(tuple(keys), asyncio.create_task(self._fetch(tenant, keys, places, ask)))
        for key in keys:
            self._flights[tenant, key] = flight
        return flight

    async def _fetch(
        self,
        tenant: str,
        keys: Sequence[bytes],
        places: dict[bytes, int],
        ask: Callable[[Sequence[int]], Awaitable[Sequence[V]]],
    ) -> dict[bytes, V]:
        values = dict(zip(keys, await ask([places[key] for key in keys]), strict=True))
        for key, value in values.items():
            self._keep(tenant, key, value)
        return values

    async def _joined(self, tenant: str, flight: _Flight[V]) -> dict[bytes, V]:
        """What another's call brings; nothing if it fails or ends, as long as we ourselves are to go on."""
        try:
            return await self._wait(tenant, flight)
        except GuardError:
            return {}
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return {}

    async def _wait(self, tenant: str, flight: _Flight[V]) -> dict[bytes, V]:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0:
                self._land(tenant, flight)

    def _land(self, tenant: str, flight: _Flight[V]) -> None:
        for key in flight.keys:
            if self._flights.get((tenant, key)) is flight:
                del self._flights[tenant, key]
        flight.task.cancel()

    def _keep(self, tenant: str, key: bytes, value: V) -> None:
        shelf = self._shelves.setdefault(tenant, _Shelf())
        size = _ENTRY_BYTES + self._size(value)
        if size > self._max_bytes or key in shelf.entries:
            return
        shelf.entries[key] = value, size
        shelf.bytes += size
        self.counts.entries += 1
        self.counts.bytes += size
        while self.counts.entries > self._max_entries or self.counts.bytes > self._max_bytes:
            self._forget_one()

    def _forget_one(self) -> None:
        tenant, shelf = max(self._shelves.items(), key=lambda item: item[1].bytes)
        _, (_, size) = shelf.entries.popitem(last=False)
        shelf.bytes -= size
        self.counts.entries -= 1
        self.counts.bytes -= size
        if not shelf.entries:
            del self._shelves[tenant]


Reads = Callable[[Part, Context], Iterable[str]]
"""Everything that a guard's verdict on a part depends on, besides the guard."""


def everything(part: Part, context: Context) -> Iterable[str]:
    """For guards that judge in the light of the conversation."""
    yield from (part.scope, part.role, part.preceding, part.text)
    if part.picture:
        own = context.own(part)
        yield from (part.picture, own.text if own is not None else "")
    for turn in context.history(part):
        yield from (turn.role, turn.text)


class Remembering:
    """A guard that asks the one behind it only what it does not remember."""

    def __init__(self, guard: Guard, reads: Reads = everything, settings: str = "") -> None:
        """`settings`: what else the verdicts depend on, such as the options of the detector."""
        self.guard, self._reads, self._settings = guard, reads, settings
        self.memory: Memory[Verdict] = Memory(_verdict_bytes)

    @property
    def identity(self) -> GuardIdentity:
        return self.guard.identity

    def counts(self) -> dict[str, Counts]:
        """By what is remembered: `part`, and `window` where the guard behind remembers windows."""
        windows = getattr(self.guard, "window_counts", None)
        return {"part": self.memory.counts} | ({"window": windows} if isinstance(windows, Counts) else {})

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        identity = self.guard.identity
        fixed = (context.tenant, identity.use, identity.version, identity.weights, self._settings)
        keys = [digest((*fixed, *self._reads(part, context))) for part in parts]
        return await self.memory.recall(
            context.tenant, keys, lambda places: self.guard.judge([parts[place] for place in places], context)
        )


def _verdict_bytes(verdict: Verdict) -> int:
    return 128 * (1 + len(verdict.categories) + len(verdict.spans))
