"""Legal holds: what is not to be erased, by nobody and by no retention, until the hold is released.

A hold counts from the moment its row is durable, which is before its record, so that there is no time in which the
record says one thing and an erasure does another. One that a crash left without its record gets it at the next start.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

from gateway.content.keystore import Keystore
from gateway.jsonstrict import Json


class Kind(StrEnum):
    """What a hold names."""

    SUBJECT = "subject"
    REQUEST = "request"
    CLASS = "class"


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold."""

    kind: Kind
    value: str
    """A person's token, the id of a request, or a retention class."""
    case: str
    said: Mapping[str, Json]
    """Who set it and why, as the record has it."""
    id: str = ""
    is_recorded: bool = False

    def as_json(self) -> dict[str, Json]:
        """As records and answers show it."""
        return {"id": self.id, "on": str(self.kind), "value": self.value, "case": self.case}


def set_hold(store: Keystore, hold: Hold) -> Hold:
    """The hold with its id; the same one again is the one that stands."""
    with store.transaction():
        row = (secrets.token_hex(8), str(hold.kind), hold.value, hold.case, json.dumps(dict(hold.said)))
        store.database.execute("INSERT OR IGNORE INTO hold VALUES (?,?,?,?,?,0)", row)
        [stands] = _select(store, "kind = ? AND value = ? AND case_id = ?", row[1:4])
    return stands


def mark_recorded(store: Keystore, hold_id: str) -> None:
    """The record of it is durable."""
    with store.transaction():
        store.database.execute("UPDATE hold SET is_recorded = 1 WHERE id = ?", (hold_id,))


def release_hold(store: Keystore, hold_id: str) -> None:
    """From here on it forbids nothing."""
    with store.transaction():
        store.database.execute("DELETE FROM hold WHERE id = ?", (hold_id,))


def holds(store: Keystore, hold_id: str = "") -> list[Hold]:
    """All that stand, or the one with this id."""
    return _select(store, "? IN ('', id)", (hold_id,))


def _select(store: Keystore, condition: str, values: tuple[str, ...]) -> list[Hold]:
    query = f"SELECT kind, value, case_id, said, id, is_recorded FROM hold WHERE {condition} ORDER BY rowid"  # noqa: S608
    with closing(store.database.execute(query, values)) as cursor:
        return [
            Hold(Kind(found[0]), found[1], found[2], json.loads(found[3]), found[4], bool(found[5]))
            for found in cursor.fetchall()
        ]
