"""The newest head once more, in a second place: what makes a restored snapshot refuse to start.

Whoever can write the log directory can put back an older copy of it, records, heads and all, and nothing in it shows
that. So before each signature the head's size and root are swapped into a small database on a path of its own, best on
another disk or host; a start that finds fewer records than the database knows is refused. The swap compares first: if
the database holds anything but what this process put there, somebody else goes on with the same log, and nothing is
signed any more. Two copies of a machine that share the database cannot both write.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway.audit.errors import AuditError, AuditUnavailable, HeadConflict
from gateway.audit.note import Checkpoint
from gateway.transaction import immediate

_WAIT_S = 2.0
_TABLE = "CREATE TABLE IF NOT EXISTS head(origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL) STRICT"


class Head(NamedTuple):
    """How many records, and the hash over them."""

    size: int
    root: bytes


class HeadStore:
    """One log's row. Owned by the writer thread once the log is open."""

    def __init__(self, path: Path, origin: str) -> None:
        """AuditError when the database cannot be opened: without it the log must not be."""
        self._path, self._origin = path, origin
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(_TABLE)
            self._last = self._tried = self.stored = self._read()
        except (sqlite3.Error, OSError) as exc:
            raise AuditError("audit_head_store", f"head store `{path}` cannot be used: {exc}") from exc

    def expected(self, signed: Checkpoint | None) -> Checkpoint | None:
        """The head that the records on disk have to reach; AuditError if the store itself was set back."""
        stored = self.stored
        if stored is None:
            return signed
        if signed is not None and stored.size < signed.size:
            told = f"`{self._path}` knows {stored.size} records, the log has a signed head over {signed.size}"
            raise AuditError("audit_head_store", f"the head store was set back: {told}")
        if signed is not None and stored.size == signed.size and stored.root != signed.root:
            raise AuditError("audit_corrupt", f"the head store `{self._path}` has another root at size {stored.size}")
        return Checkpoint(self._origin, stored.size, stored.root, signed.time_ns if signed is not None else 0)

    def swap(self, head: Head) -> None:
        """Put the head in place of our last one. HeadConflict: another's is there; AuditUnavailable: no answer."""
        try:
            with immediate(self._database):
                # After an error nobody knows whether our last try got through: both are ours.
                if self._read() not in (self._last, self._tried):
                    raise HeadConflict(f"head store `{self._path}`: another process goes on with this log")
                self._tried = head
                self._database.execute("INSERT OR REPLACE INTO head VALUES (?,?,?)", (self._origin, *head))
        except sqlite3.Error as exc:
            raise AuditUnavailable(f"head store `{self._path}`: {exc}") from exc
        self._last = head

    def close(self) -> None:
        self._database.close()

    def _read(self) -> Head | None:
        with closing(self._database.execute("SELECT size, root FROM head WHERE origin = ?", (self._origin,))) as rows:
            row = rows.fetchone()
        return Head(int(row[0]), bytes(row[1])) if row is not None else None
