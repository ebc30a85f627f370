"""Keys belong to one person or exchange and one class, and to the master key they were made under."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.content.errors import ContentError, ContentMissing
from gateway.content.keys import MasterKey
from gateway.content.keystore import Keystore
from gateway.content.segments import Spot
from tests.gateway.content.opened import MASTER, ORIGIN, everything_in, keystore, place

SPOT = Spot("default/0000000000000000.blobs", 0)


def test_a_person_has_one_key_for_each_class_and_each_blob_one_of_its_own(tmp_path: Path) -> None:
    store = keystore(tmp_path)
    places = [place("r1"), place("r2"), place("r2", "hipaa-6y"), place("r3")]
    owners = ["alice", "alice", "alice", "bob"]
    with store.transaction():
        made = [store.new_dek(where, owner, SPOT, 10) for where, owner in zip(places, owners, strict=True)]
    keks = [kek for kek, _ in made]
    assert keks[0] == keks[1]
    assert len(set(keks)) == 3
    assert len({dek for _, dek in made}) == 4
    assert [store.dek(where.ref) for where in places] == [dek for _, dek in made]
    assert store.keys_of_owner("alice") == sorted({keks[0], keks[2]})
    assert [row.place.ref for row in store.rows("r2")] == [places[1].ref, places[2].ref]
    assert [row.place for row in store.rows(places[3].ref)] == [places[3]]
    store.close()


def test_nothing_in_the_file_is_a_key(tmp_path: Path) -> None:
    store = keystore(tmp_path)
    with store.transaction():
        _, dek = store.new_dek(place(), "alice", SPOT, 10)
    store.close()
    assert dek not in everything_in(tmp_path)


def test_a_person_is_a_random_token_within_a_tenant(tmp_path: Path) -> None:
    store = keystore(tmp_path)
    alice = store.token("a", "alice@example", may_create=True)
    assert alice is not None
    assert store.token("a", "alice@example", may_create=True) == alice
    assert store.token("b", "alice@example", may_create=True) != alice
    assert store.token("a", "bob@example", may_create=False) is None
    store.close()
    assert b"alice" not in everything_in(tmp_path)
    other = keystore(tmp_path / "elsewhere")
    assert other.token("a", "alice@example", may_create=True) != alice
    other.close()


def test_another_master_key_is_refused(tmp_path: Path) -> None:
    keystore(tmp_path).close()
    with pytest.raises(ContentError) as error:
        Keystore(tmp_path / "keystore" / "keys.sqlite", MasterKey(b"x" * 32), ORIGIN)
    assert error.value.code == "content_key_wrong"
    keystore(tmp_path).close()


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keystore").mkdir()
    (tmp_path / "keystore" / "keys.sqlite").write_bytes(b"this is no database at all, not in the least" * 50)
    with pytest.raises(ContentError) as error:
        keystore(tmp_path)
    assert error.value.code == "content_keystore"


def test_a_wrap_moved_to_another_owner_does_not_open(tmp_path: Path) -> None:
    """Whoever can write the database still cannot make one person's key another's."""
    store = keystore(tmp_path)
    where = place()
    with store.transaction():
        store.new_dek(where, "alice", SPOT, 10)
        store.database.execute("UPDATE kek SET owner = 'mallory'")
    with pytest.raises(ContentMissing):
        store.dek(where.ref)
    store.close()


def test_expired_blobs_come_oldest_first_and_without_those_on_hold(tmp_path: Path) -> None:
    store = keystore(tmp_path)
    kept = [place("r1"), place("r2"), place("r3")]
    with store.transaction():
        for index, where in enumerate(kept):
            store.new_dek(where, where.req, SPOT, 10 + index)
    assert [row.place.ref for row in store.expired(11, 10)] == [kept[0].ref, kept[1].ref]
    assert [row.place.ref for row in store.expired(99, 1)] == [kept[0].ref]
    with store.transaction():
        store.database.execute("INSERT INTO hold VALUES ('h','request','r1','c','{}',1)")
    assert [row.place.ref for row in store.expired(11, 10)] == [kept[1].ref]
    store.close()


def test_modes_of_files_let_nobody_else_read(tmp_path: Path) -> None:
    store = keystore(tmp_path)
    assert MASTER.check
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "keystore").iterdir()} == {0}
    store.close()
