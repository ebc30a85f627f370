"""The wraps, and which person a token stands for: everything that erasing has to destroy, in one small database.

It lies apart from log and content, so that it can be backed up apart and for a shorter time: a copy of it that outlives
an erasure undoes it. Every commit is synced (`synchronous=FULL`), and what is deleted is overwritten (`secure_delete`).
A row is written in a transaction that is durable before the blob it opens exists.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.content.errors import ApprovalSpent, ContentError, ContentMissing
from gateway.content.keys import MasterKey, Place, unwrap_dek, wrap_dek
from gateway.content.segments import Spot
from gateway.secret import KEY_BYTES
from gateway.transaction import immediate

_WAIT_S: Final = 5.0
_WAIT_ALONE_S: Final = 0.5
_SELECT: Final = (
    "SELECT ref, req, tenant, kek.class, level, kek.id, kek.owner, segment, at, expires"
    " FROM dek JOIN kek ON kek.id = dek.kek_id"
)
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS kek(id TEXT PRIMARY KEY, owner TEXT NOT NULL, class TEXT NOT NULL,"
    " wrapped BLOB NOT NULL, UNIQUE(owner, class)) STRICT",
    "CREATE TABLE IF NOT EXISTS dek(ref TEXT PRIMARY KEY, req TEXT NOT NULL, tenant TEXT NOT NULL, level TEXT NOT NULL,"
    " kek_id TEXT NOT NULL REFERENCES kek(id), wrapped BLOB NOT NULL, segment TEXT NOT NULL, at INTEGER NOT NULL,"
    " expires INTEGER NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS dek_req ON dek(req)",
    "CREATE INDEX IF NOT EXISTS dek_kek ON dek(kek_id)",
    "CREATE INDEX IF NOT EXISTS dek_expires ON dek(expires)",
    "CREATE INDEX IF NOT EXISTS dek_segment ON dek(segment)",
    "CREATE TABLE IF NOT EXISTS subject(name BLOB PRIMARY KEY, token TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE IF NOT EXISTS hold(id TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL,"
    " case_id TEXT NOT NULL, said TEXT NOT NULL, is_recorded INTEGER NOT NULL, UNIQUE(kind, value, case_id)) STRICT",
    "CREATE TABLE IF NOT EXISTS spent(segment TEXT PRIMARY KEY) STRICT",
    "CREATE TABLE IF NOT EXISTS approved(number TEXT PRIMARY KEY) STRICT",
    "CREATE TABLE IF NOT EXISTS task(id TEXT PRIMARY KEY, said TEXT NOT NULL, shredded INTEGER) STRICT",
)
SUBJECT: Final = "sub_"
"""How a person's token begins; the rest is random."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one blob without opening it."""

    place: Place
    kek_id: str
    owner: str
    """A person's token, or the exchange itself."""
    spot: Spot
    expires_ns: int


class Keystore:
    """One connection. Used by one thread at a time; two connections of two processes exclude each other by SQLite."""

    def __init__(self, path: Path, master: MasterKey, origin: str, *, alone: bool = False) -> None:
        """Raises ContentError when the database cannot be used, or belongs to another master key or log.

        `alone`: nobody else may have it open, or open it.
        """
        self._master, self._origin = master, origin
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            wait_s = _WAIT_S if not alone else _WAIT_ALONE_S
            self.database = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as exc:
            raise _unusable(path, exc) from exc
        try:
            self.database.executescript(
                f"PRAGMA locking_mode={'EXCLUSIVE' if alone else 'NORMAL'};"
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; PRAGMA foreign_keys=ON;"
                "PRAGMA temp_store=MEMORY;"
            )
            with self.transaction():
                for statement in _TABLES:
                    self.database.execute(statement)
                self._claim()
        except sqlite3.Error as exc:
            self.close()
            raise _unusable(path, exc) from exc
        except ContentError:
            self.close()
            raise

    def close(self) -> None:
        self.database.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, and nobody else writes meanwhile. Durable when left in order."""
        return immediate(self.database)

    @property
    def master(self) -> MasterKey:
        """The key above all wraps."""
        return self._master

    def _claim(self) -> None:
        known = self._one("SELECT value FROM meta WHERE name = 'check'", ())
        if known is None:
            self.database.execute("INSERT INTO meta VALUES ('check', ?)", (self._master.check,))
        elif bytes(known[0]) != self._master.check:
            raise ContentError("content_key_wrong", "the key store was made with another master key than the one named")
        names = self._one("SELECT value FROM meta WHERE name = 'names'", ())
        if names is not None:
            try:
                self._master = self._master.with_names(bytes(names[0]))
            except ContentMissing as exc:
                raise ContentError("content_keystore", exc.problem) from exc

    def new_dek(self, place: Place, owner: str, spot: Spot, expires_ns: int) -> tuple[str, bytes]:
        """(id of the KEK, a new key for this blob). Inside a transaction."""
        kek_id, kek = self._kek(owner, place.class_)
        dek = os.urandom(KEY_BYTES)
        row = (place.ref, place.req, place.tenant, place.level, kek_id, wrap_dek(kek, dek), spot.segment, spot.offset)
        self.database.execute("INSERT INTO dek VALUES (?,?,?,?,?,?,?,?,?)", (*row, expires_ns))
        return kek_id, dek

    def _kek(self, owner: str, class_: str) -> tuple[str, bytes]:
        found = self._one("SELECT id, wrapped FROM kek WHERE owner = ? AND class = ?", (owner, class_))
        if found is not None:
            return found[0], self._master.unwrap(found[1], bound_to(found[0], owner, class_))
        kek_id, kek = secrets.token_hex(16), os.urandom(KEY_BYTES)
        wrapped = self._master.wrap(kek, bound_to(kek_id, owner, class_))
        self.database.execute("INSERT INTO kek VALUES (?,?,?,?)", (kek_id, owner, class_, wrapped))
        return kek_id, kek

    def dek(self, ref: str) -> bytes:
        """The key of one blob. Raises ContentMissing when it was destroyed."""
        found = self._one(
            "SELECT kek.id, kek.owner, kek.class, kek.wrapped, dek.wrapped FROM dek JOIN kek ON kek.id = dek.kek_id"
            " WHERE ref = ?",
            (ref,),
        )
        if found is None:
            raise ContentMissing("content_erased", f"blob `{ref}` has no key here: it was erased, or is not ours")
        return unwrap_dek(self._master.unwrap(found[3], bound_to(*found[:3])), found[4])

    def rows(self, what: str) -> list[Row]:
        """The blob of a reference, or all of a request, oldest first."""
        return self._rows("ref = ? OR req = ?", (what, what))

    def rows_of_owner(self, owner: str) -> list[Row]:
        """All blobs under the KEKs of one person."""
        return self._rows("kek.owner = ?", (owner,))

    def expired(self, now_ns: int, most: int) -> list[Row]:
        """Blobs past their class's time that no hold covers, oldest first."""
        free = (
            "NOT EXISTS (SELECT 1 FROM hold WHERE (kind = 'class' AND value = kek.class)"
            " OR (kind = 'request' AND value = req) OR (kind = 'subject' AND value = kek.owner))"
        )
        return self._rows(f"expires <= ? AND {free}", (now_ns,), f" LIMIT {int(most)}")

    def _rows(self, condition: str, values: tuple[object, ...], tail: str = "") -> list[Row]:
        query = f"{_SELECT} WHERE {condition} ORDER BY dek.rowid{tail}"
        with closing(self.database.execute(query, values)) as cursor:
            all_found: list[tuple[Any, ...]] = cursor.fetchall()
        return [self._row(*found) for found in all_found]

    def _row(self, *found: Any) -> Row:  # noqa: ANN401 # the columns of _SELECT
        ref, req, tenant, class_, level, kek_id, owner, segment, at, expires = found
        place = Place(ref, req, tenant, class_, level, self._origin)
        return Row(place, kek_id, owner, Spot(segment, at), expires)

    def keys_of_owner(self, owner: str) -> list[str]:
        """The ids of one person's KEKs."""
        with closing(self.database.execute("SELECT id FROM kek WHERE owner = ? ORDER BY id", (owner,))) as cursor:
            return [found[0] for found in cursor.fetchall()]

    def token(self, tenant: str, name: str, *, may_create: bool) -> str | None:
        """The token that stands for a person; random, so that without this row nothing leads from one to the other."""
        key = self._master.name_digest(tenant, name)
        found = self._one("SELECT token FROM subject WHERE name = ?", (key,))
        if found is not None:
            return str(found[0])
        if not may_create:
            return None
        token = SUBJECT + secrets.token_hex(16)
        with self.transaction():
            # Another process may have been first.
            self.database.execute("INSERT OR IGNORE INTO subject VALUES (?,?)", (key, token))
            found = self._one("SELECT token FROM subject WHERE name = ?", (key,))
        return str(found[0]) if found is not None else None

    def spent_segments(self) -> list[str]:
        """Files out of which something was erased, and in which no blob has its key any more."""
        query = "SELECT segment FROM spent WHERE segment NOT IN (SELECT segment FROM dek) ORDER BY segment"
        with closing(self.database.execute(query)) as cursor:
            return [found[0] for found in cursor.fetchall()]

    def forget_segment(self, segment: str) -> None:
        """The file is no more."""
        with self.transaction():
            self.database.execute("DELETE FROM spent WHERE segment = ?", (segment,))

    def spend(self, number: str) -> None:
        """Use up an approved statement, if there is one. Inside a transaction. Raises ApprovalSpent."""
        if number:
            row = self.database.execute("INSERT OR IGNORE INTO approved VALUES (?)", (number,))
            if row.rowcount != 1:
                raise ApprovalSpent

    def forget_free_pages(self) -> None:
        """Write the whole database anew, as a page may keep the copy of a row that was moved before it was deleted."""
        self.empty_log()
        self.database.execute("VACUUM").close()
        self.empty_log()

    def empty_log(self) -> None:
        """Bring what was overwritten to its place and empty the write-ahead log, where older pages still stand."""
        busy, _, _ = self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the write-ahead log could not be emptied: somebody reads the key store")

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        with closing(self.database.execute(query, values)) as cursor:
            found: tuple[Any, ...] | None = cursor.fetchone()
            return found


def _unusable(path: Path, exc: Exception) -> ContentError:
    return ContentError("content_keystore", f"key store `{path}` cannot be used: {exc}")


def bound_to(kek_id: str, owner: str, class_: str) -> str:
    """For what alone the wrap of a KEK opens."""
    return f"{kek_id}\0{owner}\0{class_}"
