"""The content store as the gateway sees it: hand in text, get back what a record says of it once it cannot be lost.

One thread owns keys and files. It takes whatever waits, commits the keys of all of it in one transaction and syncs the
blobs once for each class; only then are the callers told. What reads, erases or holds runs on the same thread, between
two batches, so that no blob is sealed while its person is being erased. When keys or blobs cannot be written every
caller is refused, and the exchange with it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from gateway.audit.files import Files, OsFiles, make_directories
from gateway.content.errors import ContentError, ContentUnavailable
from gateway.content.keys import Place, digest, load_master_key, seal, unseal
from gateway.content.keystore import Keystore, Row
from gateway.content.segments import SegmentWriter, Spot, encoded, read_blob
from gateway.content.settings import ContentSettings
from gateway.jsonstrict import Json, dumps, loads

T = TypeVar("T")
MAX_BATCH: Final = 256
STALL_S: Final = 5.0
"""A disk that does not answer for longer makes new text be refused at once."""
WORK_S: Final = 60.0
"""The same while something was erased: the key store is written anew then, about 3 s for a million blobs."""


@dataclass(frozen=True, slots=True)
class Item:
    """Text of one exchange that is to be kept."""

    place: Place
    owner: str
    """The person's token, or the exchange."""
    value: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the record says of a blob."""

    place: Place
    kek_id: str
    ct_sha256: bytes
    bytes: int

    def as_json(self) -> dict[str, Json]:
        return {
            "ref": self.place.ref,
            "ct_sha256": b64encode(self.ct_sha256).decode(),
            "bytes": self.bytes,
            "kek_id": self.kek_id,
            "class": self.place.class_,
            "level": self.place.level,
        }


@dataclass(frozen=True, slots=True)
class _Text:
    """An item as bytes. Encoded by who hands it in: one that has no form is theirs alone, not its whole batch's."""

    place: Place
    owner: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Job:
    work: _Text | Callable[[], object]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class ContentStore:
    """One open store. Its coroutines may be awaited in any event loop."""

    def __init__(self, keystore: Keystore, files: Files, directory: Path, settings: ContentSettings) -> None:
        self._keys, self._files, self._directory, self.settings = keystore, files, directory, settings
        self._segments = SegmentWriter(files, directory)
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._at_hand: list[_Job] = []
        """What was taken out of the queue for the latest turn."""
        self._gone: set[str] = set()
        """Persons and exchanges erased by this process: one that still goes on must not make new keys for them."""
        self._fault: str | None = None
        self._busy_until: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="content-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, settings: ContentSettings, state: Path, origin: str, files: Files | None = None) -> ContentStore:
        """Raises ContentError; then nothing may be served."""
        files, directory, keys = files or OsFiles(), state / "content", state / "keystore" / "keys.sqlite"
        master = load_master_key(settings.master_key, may_create=not keys.exists(), files=files)
        try:
            make_directories(files, directory)
        except OSError as exc:
            raise ContentError("content_unwritable", f"`{directory}` cannot be made: {exc.strerror}") from exc
        return cls(Keystore(keys, master, origin), files, directory, settings)

    @property
    def healthy(self) -> bool:
        """Whether the next text has a chance."""
        return self._trouble() is None

    @property
    def is_running(self) -> bool:
        """Whether its thread lives. One that failed as nobody foresaw comes back with another process only."""
        return self._thread.is_alive()

    async def keep(self, item: Item) -> Sealed:
        """Return when the text is durable. ContentUnavailable: forbid what its record would permit."""
        if (trouble := self._trouble()) is not None:
            raise ContentUnavailable(trouble)
        sealed: Sealed = await self._ask(_Text(item.place, item.owner, dumps(item.value)))
        return sealed

    async def do(self, work: Callable[[Keystore], T]) -> T:
        """Run something on the store's thread, between two batches. Raises what it raises, ContentUnavailable instead
        of an error of the database."""
        result: T = await self._ask(lambda: work(self._keys))
        return result

    async def read(self, row: Row) -> Json:
        """The text of a blob. Raises ContentMissing."""
        return await self.do(lambda keys: self._read(keys, row))

    async def probe(self) -> None:
        """Whether keys and blobs can be written; brings the store back after a fault. Raises ContentUnavailable."""
        if self._fault is not None:
            await self._ask(self._probe)
        if (trouble := self._trouble()) is not None:
            raise ContentUnavailable(trouble)

    async def close(self) -> None:
        """Write what waits; then release keys and files."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # What `do` was given may call these three: they belong to the store's thread.

    def forget(self, name: str) -> None:
        """No key is made for this person, or in this exchange, any more."""
        self._gone.add(name)

    def remember(self, name: str) -> None:
        """They were not erased after all."""
        self._gone.discard(name)

    def drop_spent(self, keys: Keystore) -> None:
        """Unlink files of which every blob was erased. Raises OSError.

        Not the one that still grows: the record of its newest blob may not be written yet, and would name what is gone.
        """
        for name in keys.spent_segments():
            if not self._segments.is_open(name):
                with suppress(FileNotFoundError):  # gone is what it should be
                    self._files.unlink(self._directory / name)
                keys.forget_segment(name)

    def _trouble(self) -> str | None:
        until = self._busy_until
        if until is not None and time.monotonic() > until:
            return "the content store's disk does not answer"
        return self._fault

    async def _ask(self, work: _Text | Callable[[], object]) -> Any:  # noqa: ANN401 # what the work gives
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put(_Job(work, future, loop))
        if self._ended:
            # The thread may have ended before the put; nobody else would take this one out.
            self._refuse_rest()
        return await future

    # From here on: the store's thread.

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        # Whatever ends this thread, those who wait for it hear of it; it goes on.
        except BaseException as exc:
            self._fault = f"the content store's thread failed: {type(exc).__name__}"
            _refuse(self._at_hand, self._fault)
            raise
        finally:
            self._fault = self._fault or "the content store is closed"
            self._ended = True
            self._refuse_rest()
            self._segments.close()
            self._keys.close()

    def _turn(self) -> bool:
        jobs, go_on = self._take()
        items = [(job, job.work) for job in jobs if isinstance(job.work, _Text)]
        try:
            if items:
                self._busy_until = time.monotonic() + STALL_S
                _settle([job for job, _ in items], self._seal_all([item for _, item in items]))
            for job in jobs:
                if not isinstance(job.work, _Text):
                    self._busy_until = time.monotonic() + WORK_S
                    _settle([job], [self._result(job.work)])
        finally:
            self._busy_until = None
        return go_on

    def _take(self) -> tuple[list[_Job], bool]:
        self._at_hand = jobs = list[_Job]()
        try:
            job = self._queue.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) >= MAX_BATCH:
                    return jobs, True
                job = self._queue.get_nowait()
        except Empty:
            return jobs, True
        return jobs, False

    def _result(self, work: Callable[[], object]) -> object:
        try:
            return work()
        except sqlite3.Error as exc:
            return ContentUnavailable(f"the key store does not answer: {exc}")
        # It belongs to whoever asked; this thread goes on.
        except Exception as exc:  # noqa: BLE001
            return exc

    def _seal_all(self, items: Sequence[_Text]) -> list[Sealed | Exception]:
        """One answer for each, in order. Either all of a batch is kept, or none of it."""
        kept = [item for item in items if not self._is_gone(item)]
        refs = [item.place.ref for item in kept]
        try:
            with self._keys.transaction():
                sealed, data = self._sealed(kept)
            for class_, blobs in data.items():
                self._segments.write(class_, b"".join(blobs))
        # Whatever it was, nobody may wait for ever, and nobody may be told that it is kept.
        except Exception as exc:  # noqa: BLE001
            self._fault = f"content cannot be kept: {type(exc).__name__}: {exc}"
            for class_ in {item.place.class_ for item in kept}:
                self._segments.give_up(class_)
            self._take_back(refs)
            return [ContentUnavailable(self._fault) for _ in items]
        self._fault = None
        answers = iter(sealed)
        refused = ContentUnavailable("the person or the exchange was erased while it went on")
        return [refused if self._is_gone(item) else next(answers) for item in items]

    def _is_gone(self, item: _Text) -> bool:
        return item.owner in self._gone or item.place.req in self._gone

    def _sealed(self, items: Sequence[_Text]) -> tuple[list[Sealed], dict[str, list[bytes]]]:
        ends: dict[str, Spot] = {}
        data: dict[str, list[bytes]] = {}
        sealed: list[Sealed] = []
        for item in items:
            place, class_ = item.place, item.place.class_
            spot = ends.get(class_) or self._segments.end(class_)
            kek_id, dek = self._keys.new_dek(place, item.owner, spot, time.time_ns() + self.settings.classes[class_])
            blob = seal(dek, item.data, place)
            line = encoded(place, kek_id, blob)
            data.setdefault(class_, []).append(line)
            ends[class_] = Spot(spot.segment, spot.offset + len(line))
            sealed.append(Sealed(place, kek_id, digest(blob), len(blob)))
        return sealed, data

    def _take_back(self, refs: Sequence[str]) -> None:
        try:
            with self._keys.transaction():
                self._keys.database.executemany("DELETE FROM dek WHERE ref = ?", [(ref,) for ref in refs])
        except sqlite3.Error:
            # Keys without blobs stay then; they open nothing, and retention takes them away.
            return

    def _read(self, keys: Keystore, row: Row) -> Json:
        stored = read_blob(self._directory, row.spot, row.place.ref)
        return loads(unseal(keys.dek(row.place.ref), stored.data, row.place), max_depth=64)

    def _probe(self) -> None:
        path = self._directory / "probe"
        try:
            with self._keys.transaction():
                self._keys.database.execute("INSERT OR REPLACE INTO meta VALUES ('probe', x'00')")
            path.write_bytes(bytes(4096))
            path.unlink()
        except (sqlite3.Error, OSError) as exc:
            self._fault = f"content cannot be kept: {exc}"
            raise ContentUnavailable(self._fault) from exc
        self._fault = None

    def _refuse_rest(self) -> None:
        try:
            while True:
                if (job := self._queue.get_nowait()) is not None:
                    _refuse([job], self._fault or "the content store is closed")
        except Empty:
            return


def _refuse(jobs: Sequence[_Job], problem: str) -> None:
    _settle(jobs, [ContentUnavailable(problem) for _ in jobs])


def _settle(jobs: Sequence[_Job], results: Sequence[object]) -> None:
    for job, result in zip(jobs, results, strict=True):
        try:
            job.loop.call_soon_threadsafe(_set, job.future, result)
        except RuntimeError:
            # The loop was closed: nobody waits there any more.
            continue


def _set(future: asyncio.Future[Any], result: object) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
