"""Setting and releasing legal holds, each with its record.

A hold is in force before its record is written, and until after the record of its release: a crash between the two
leaves too much kept, never too little. What was set and not recorded is recorded at the next start.
"""

from __future__ import annotations

from gateway.content.erasing import unavailable_instead
from gateway.content.holds import Hold, holds, mark_recorded, release_hold, set_hold
from gateway.content.keystore import Keystore
from gateway.content.store import ContentStore
from gateway.entries import Record, Recorder
from gateway.errors import GatewayError


class Holding:
    """The holds of one content store."""

    def __init__(self, store: ContentStore, records: Recorder) -> None:
        self._store, self._records = store, records

    async def set(self, hold: Hold) -> Hold:
        """The hold as it stands; one that stands already is not recorded again. Raises Unavailable."""
        stands = await unavailable_instead(self._store.do(lambda keys: set_hold(keys, hold)))
        if stands.is_recorded:
            return stands
        try:
            await self._record(stands, {})
        except GatewayError:
            await unavailable_instead(self._store.do(lambda keys: release_hold(keys, stands.id)))
            raise
        return stands

    async def release(self, hold_id: str, said: Record, number: str = "") -> Hold | None:
        """The hold that no longer stands; None: there is none with this id.

        `number` is that of an approved statement. Raises ApprovalSpent, Unavailable.
        """
        found = await unavailable_instead(self._store.do(lambda keys: holds(keys, hold_id)))
        if not hold_id or not found:
            return None
        await unavailable_instead(self._store.do(lambda keys: _spend(keys, number)))
        await self._records.append(said | {"hold": found[0].as_json()})
        await unavailable_instead(self._store.do(lambda keys: release_hold(keys, hold_id)))
        return found[0]

    async def all(self) -> list[Hold]:
        """Those that stand."""
        return await unavailable_instead(self._store.do(holds))

    async def recover(self) -> None:
        """Record what a crash left without its record. Raises Unavailable."""
        for hold in await self.all():
            if not hold.is_recorded:
                await self._record(hold, {"resumed": True})

    async def _record(self, hold: Hold, more: Record) -> None:
        await self._records.append({**hold.said, **more, "hold": hold.as_json()})
        await unavailable_instead(self._store.do(lambda keys: mark_recorded(keys, hold.id)))


def _spend(keys: Keystore, number: str) -> None:
    with keys.transaction():
        keys.spend(number)
