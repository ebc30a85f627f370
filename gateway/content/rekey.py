"""Another master key over the same key store: every key of a person or an exchange is wrapped anew, in one transaction.

Before it the old key opens the store, after it the new one, and at no moment both or neither: a crash leaves one or the
other. Text and its own keys are not touched. What finds a person by name was derived from the first master key and
cannot be made anew, as names are not kept: it is carried on, wrapped under the new one. The store must be nobody
else's meanwhile; then what is left of old wraps is overwritten, as after an erasure.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

from gateway.content.errors import ContentError
from gateway.content.keys import MasterKey
from gateway.content.keystore import Keystore, bound_to

_AT_ONCE: Final = 1000


def rekey(store: Keystore, new: MasterKey) -> int:
    """Wrap everything under another master key; how many keys that were. The store is to be opened anew afterwards.

    Raises ContentError, and then the old key counts; or ContentMissing for a wrap that was altered before.
    """
    if new.check == store.master.check:
        raise ContentError("content_key_wrong", "the new master key is the old one")
    try:
        with store.transaction():
            count = _rewrap(store, new)
            store.database.execute("UPDATE meta SET value = ? WHERE name = 'check'", (new.check,))
            names = new.wrap_names(store.master)
            store.database.execute("INSERT OR REPLACE INTO meta VALUES ('names', ?)", (names,))
    except sqlite3.Error as exc:
        raise ContentError("content_keystore", f"the key store cannot be written: {exc}") from exc
    return count


def _rewrap(store: Keystore, new: MasterKey) -> int:
    count, last = 0, ""
    while rows := _rows_after(store, last):
        for kek_id, owner, class_, wrapped in rows:
            what = bound_to(kek_id, owner, class_)
            again = new.wrap(store.master.unwrap(wrapped, what), what)
            store.database.execute("UPDATE kek SET wrapped = ? WHERE id = ?", (again, kek_id))
        count, last = count + len(rows), rows[-1][0]
    return count


def _rows_after(store: Keystore, last: str) -> list[tuple[str, str, str, bytes]]:
    query = "SELECT id, owner, class, wrapped FROM kek WHERE id > ? ORDER BY id LIMIT ?"
    with closing(store.database.execute(query, (last, _AT_ONCE))) as cursor:
        return cursor.fetchall()
