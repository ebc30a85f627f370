"""Erasure and retention in the order that leaves evidence: ordered, recorded, done, recorded.

    task in the key store -> record, stage `admit` -> keys destroyed -> record, stage `complete` -> task forgotten

Killed between any two of these, the next start goes on where it was. So blobs that cannot be read any more are always
named by a record that says who ordered it, and a record of an erasure is never the last that is heard of it. When a
hold forbids it the last record says so, and nothing was destroyed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeVar

import structlog

from gateway.content.errors import ContentUnavailable, HoldsForbid
from gateway.content.keystore import Keystore
from gateway.content.shred import RETENTION, Task, finish, order, ordered, shred
from gateway.content.store import ContentStore
from gateway.entries import Record, Recorder
from gateway.errors import GatewayError, Unavailable
from gateway.ids import exchange_id
from gateway.jsonstrict import Json

T = TypeVar("T")
MOST_REFS: Final = 400
"""In one record, which ends at 32 KiB."""
PRUNE_EVERY_S: Final = 3600.0
OWN_ACTOR: Final[Mapping[str, Json]] = {"type": "gateway", "sub": "retention"}
log = structlog.get_logger()


class Eraser:
    """Carries out erasures, one after the other."""

    def __init__(self, store: ContentStore, records: Recorder) -> None:
        self._store, self._records = store, records
        self._turn = asyncio.Lock()

    async def erase(self, said: Record, refs: Sequence[str], requests: Iterable[str] = (), number: str = "") -> int:
        """Erase blobs. `said` is what every record of it says; nothing more is kept of `requests`.

        `number` is that of an approved statement. Raises HoldsForbid, ApprovalSpent, Unavailable.
        """
        task = Task(str(said["req"]), said, refs=tuple(refs), requests=tuple(requests), number=number)
        return await self._erase(task)

    async def erase_person(self, said: Record, token: str, number: str = "") -> int:
        """Erase all blobs of a person, and who they were. Raises HoldsForbid, ApprovalSpent, Unavailable."""
        return await self._erase(Task(str(said["req"]), said | {"subject": token}, owner=token, number=number))

    async def prune(self, actor: Mapping[str, Json] = OWN_ACTOR, now_ns: int | None = None) -> int:
        """Erase what is past its time and under no hold; how many blobs. Then drop files that hold nothing any more.

        Raises Unavailable.
        """
        now, gone = now_ns if now_ns is not None else time.time_ns(), 0
        while rows := await self._do(lambda keys: keys.expired(now, MOST_REFS)):
            said: Record = {"type": RETENTION, "req": exchange_id(), "actor": dict(actor)}
            gone += await self.erase(said, [row.place.ref for row in rows])
        if gone:
            await self._do(lambda keys: keys.forget_free_pages())
        await self._do(self._store.drop_spent)
        return gone

    async def recover(self) -> None:
        """Finish what a crash left. Raises Unavailable."""
        async with self._turn:
            for task in await self._do(ordered):
                with suppress(HoldsForbid):  # recorded as such, and nobody waits for the answer
                    await self._carry_out(task, is_resumed=True)

    async def prune_for_ever(self, every_s: float = PRUNE_EVERY_S) -> None:
        """Once an hour; one task of the process."""
        while True:
            try:
                await self.recover()
                await self.prune()
            except (GatewayError, HoldsForbid) as exc:
                log.error("retention_failed", error=type(exc).__name__)
            await asyncio.sleep(every_s)

    async def _erase(self, task: Task) -> int:
        async with self._turn:
            return await self._carry_out(await self._do(lambda keys: self._order(keys, task)))

    def _order(self, keys: Keystore, task: Task) -> Task:
        for request in task.requests:
            self._store.forget(request)
        if task.owner:
            self._store.forget(task.owner)
            task = replace(task, kek_ids=tuple(keys.keys_of_owner(task.owner)))
        try:
            order(keys, task)
        # Whatever it was, nothing was ordered: what was to be forgotten may be kept again. It goes on.
        except BaseException:
            self._remember(task)
            raise
        return task

    async def _carry_out(self, task: Task, *, is_resumed: bool = False) -> int:
        try:
            await self._record(task, "admit", {"resumed": True} if is_resumed else {})
        except GatewayError:
            if not is_resumed:
                await self._do(lambda keys: self._give_up(keys, task))
            raise
        try:
            gone = await self._do(lambda keys: self._shred(keys, task))
        except HoldsForbid as exc:
            await self._records.append({**task.said, "stage": "complete", "refused": {"holds": list[Json](exc.holds)}})
            await self._do(lambda keys: self._give_up(keys, task))
            raise
        await self._record(task, "complete", {"erased": gone})
        await self._do(lambda keys: finish(keys, task.id))
        return gone

    def _shred(self, keys: Keystore, task: Task) -> int:
        if task.owner:
            self._store.forget(task.owner)
        return shred(keys, task)

    def _give_up(self, keys: Keystore, task: Task) -> None:
        finish(keys, task.id)
        self._remember(task)

    def _remember(self, task: Task) -> None:
        for name in (task.owner, *task.requests):
            self._store.remember(name)

    async def _record(self, task: Task, stage: str, more: Record) -> None:
        for erase in _named(task):
            await self._records.append({**task.said, "stage": stage, "erase": erase, **more})

    async def _do(self, work: Callable[[Keystore], T]) -> T:
        return await unavailable_instead(self._store.do(work))


async def unavailable_instead(work: Coroutine[Any, Any, T]) -> T:
    """The result of something the store was asked. Raises Unavailable when it cannot do its part now."""
    try:
        return await work
    except (ContentUnavailable, OSError) as exc:
        raise Unavailable("audit_unavailable", "the content store does not answer") from exc


def _named(task: Task) -> Iterator[Json]:
    """What goes, in as many records as it takes; at least one."""
    for kek_id in task.kek_ids:
        yield {"kek_id": kek_id}
    if not task.kek_ids:
        for first in range(0, max(1, len(task.refs)), MOST_REFS):
            yield {"refs": list[Json](task.refs[first : first + MOST_REFS])}
