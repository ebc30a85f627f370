"""Erasing: the keys of what is to go are destroyed, unless a legal hold covers any of it.

What is to be erased is first a *task* in the key store, then a record in the log, then done. A start that finds a task
goes on with it, so that a crash leaves neither an erasure without its record nor a record without its erasure. The
holds are looked at in the same transaction that deletes: a hold that is set in time forbids, and one that is set later
comes too late and is told so, since what it names is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from gateway.content.errors import HoldsForbid
from gateway.content.keystore import Keystore
from gateway.jsonstrict import Json

RETENTION: Final = "retention.prune"


@dataclass(frozen=True, slots=True)
class Task:
    """An erasure that has been ordered."""

    id: str
    """That of the order, in every record of it."""
    said: Mapping[str, Json]
    """What the records say: type, actor, reason."""
    refs: tuple[str, ...] = ()
    owner: str = ""
    """A person's token: all their keys go, and the token itself. Then `refs` is empty."""
    kek_ids: tuple[str, ...] = ()
    """The person's keys, for the records."""
    requests: tuple[str, ...] = ()
    """Exchanges of which nothing may be kept any more, should one still go on. Not stored: a restart ends them all."""
    number: str = ""
    """Of the statement that two people approved; used up when the task is kept. Not stored with it."""
    shredded: int | None = None
    """How many blobs lost their key; None: it has not happened."""


def order(store: Keystore, task: Task) -> None:
    """Keep the task until it is done. Raises ApprovalSpent."""
    said = json.dumps({"said": dict(task.said), "refs": task.refs, "owner": task.owner, "kek_ids": task.kek_ids})
    with store.transaction():
        store.spend(task.number)
        store.database.execute("INSERT INTO task VALUES (?,?,NULL)", (task.id, said))


def ordered(store: Keystore) -> list[Task]:
    """What was ordered and not finished."""
    with closing(store.database.execute("SELECT id, said, shredded FROM task ORDER BY rowid")) as cursor:
        return [_task(*found) for found in cursor.fetchall()]


def _task(id_: str, said: str, shredded: int | None) -> Task:
    kept = json.loads(said)
    return Task(id_, kept["said"], tuple(kept["refs"]), kept["owner"], tuple(kept["kek_ids"]), shredded=shredded)


def finish(store: Keystore, task_id: str) -> None:
    """Its last record is durable."""
    with store.transaction():
        store.database.execute("DELETE FROM task WHERE id = ?", (task_id,))


def shred(store: Keystore, task: Task) -> int:
    """Destroy the keys; how many blobs lost theirs. Raises HoldsForbid, and then nothing was touched."""
    if task.shredded is not None:
        _overwrite(store, task)
        return task.shredded
    database = store.database
    with store.transaction():
        database.execute("CREATE TEMP TABLE IF NOT EXISTS doomed(ref TEXT PRIMARY KEY, kek_id TEXT)")
        database.execute("DELETE FROM doomed")
        if task.owner:
            select = "SELECT ref, kek_id FROM dek JOIN kek ON kek.id = kek_id WHERE owner = ?"
            database.execute(f"INSERT INTO doomed {select}", (task.owner,))
        else:
            found = "INSERT INTO doomed SELECT ref, kek_id FROM dek WHERE ref = ?"
            database.executemany(found, [(ref,) for ref in dict.fromkeys(task.refs)])
        if holds := _holds(store, task.owner):
            raise HoldsForbid(holds)
        database.execute("INSERT OR IGNORE INTO spent SELECT DISTINCT segment FROM dek JOIN doomed USING (ref)")
        gone = database.execute("DELETE FROM dek WHERE ref IN (SELECT ref FROM doomed)").rowcount
        database.execute(
            "DELETE FROM kek WHERE (id IN (SELECT kek_id FROM doomed) OR owner = ?)"
            " AND NOT EXISTS (SELECT 1 FROM dek WHERE dek.kek_id = kek.id)",
            (task.owner,),
        )
        database.execute("DELETE FROM subject WHERE token = ?", (task.owner,))
        database.execute("UPDATE task SET shredded = ? WHERE id = ?", (gone, task.id))
        database.execute("DELETE FROM doomed")
    _overwrite(store, task)
    return gone


def _overwrite(store: Keystore, task: Task) -> None:
    """Of an erasure everything at once; retention, which erases a little at a time, does so at the end of its run."""
    if task.said.get("type") == RETENTION:
        store.empty_log()
    else:
        store.forget_free_pages()


def _holds(store: Keystore, owner: str) -> Sequence[str]:
    """The holds over any of `doomed`, or over the person."""
    query = (
        "SELECT DISTINCT hold.id FROM hold WHERE (kind = 'subject' AND value = ?) OR EXISTS ("
        "SELECT 1 FROM doomed JOIN dek ON dek.ref = doomed.ref JOIN kek ON kek.id = dek.kek_id WHERE"
        " (kind = 'class' AND value = kek.class) OR (kind = 'request' AND value = dek.req)"
        " OR (kind = 'subject' AND value = kek.owner)) ORDER BY hold.id"
    )
    with closing(store.database.execute(query, (owner,))) as cursor:
        return [str(found[0]) for found in cursor.fetchall()]
