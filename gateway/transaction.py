"""One way to change a SQLite file: all of it, or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def immediate(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction that nobody else writes beside, durable when left in order. The connection's must be explicit."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    # Whatever ends it, also the process being told to stop: nothing half done stays behind, and it goes on.
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
