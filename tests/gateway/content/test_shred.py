"""Erased means that nothing on the disk opens it; held means that nobody erases it, however close the race."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import pytest

from gateway.content.errors import ContentMissing, HoldsForbid
from gateway.content.holds import Hold, Kind, set_hold
from gateway.content.keystore import Keystore
from gateway.content.segments import Spot
from gateway.content.shred import Task, finish, order, ordered, shred
from tests.gateway.content.opened import everything_in, keystore, place

SPOT = Spot("default/0000000000000000.blobs", 0)
SAID = {"type": "content.erase", "req": "call-1"}


def filled(directory: Path) -> tuple[Keystore, dict[str, list[str]]]:
    """A key store with two persons and one exchange of nobody; the references of each."""
    store = keystore(directory)
    refs: dict[str, list[str]] = {}
    with store.transaction():
        for owner, req in (("sub_a", "r1"), ("sub_a", "r2"), ("sub_b", "r3"), ("r4", "r4")):
            for class_ in ("default", "hipaa-6y"):
                where = place(req, class_)
                store.new_dek(where, owner, SPOT, 10)
                refs.setdefault(req, []).append(where.ref)
    return store, refs


def wraps(store: Keystore, condition: str) -> list[bytes]:
    query = f"SELECT dek.wrapped, kek.wrapped FROM dek JOIN kek ON kek.id = kek_id WHERE {condition}"
    return [bytes(wrap) for row in store.database.execute(query).fetchall() for wrap in row]


def run(store: Keystore, task: Task) -> int:
    order(store, task)
    return shred(store, task)


def test_a_person_is_erased_from_every_file_and_the_others_stay(tmp_path: Path) -> None:
    store, refs = filled(tmp_path)
    mine, others = wraps(store, "owner = 'sub_a'"), wraps(store, "owner != 'sub_a'")
    assert all(wrap in everything_in(tmp_path) for wrap in mine + others)
    assert run(store, Task("t1", SAID, owner="sub_a")) == 4
    left = everything_in(tmp_path)
    assert not any(wrap in left for wrap in mine)
    assert all(wrap in left for wrap in others)
    for ref in refs["r1"] + refs["r2"]:
        with pytest.raises(ContentMissing) as error:
            store.dek(ref)
        assert error.value.code == "content_erased"
    assert all(store.dek(ref) for ref in refs["r3"] + refs["r4"])
    store.close()


def test_one_exchange_of_a_person_goes_and_their_others_stay(tmp_path: Path) -> None:
    store, refs = filled(tmp_path)
    own = [bytes(w) for (w,) in store.database.execute("SELECT wrapped FROM dek WHERE req = 'r1'").fetchall()]
    assert run(store, Task("t1", SAID, refs=tuple(refs["r1"]))) == 2
    assert not any(wrap in everything_in(tmp_path) for wrap in own)
    assert all(store.dek(ref) for ref in refs["r2"])
    assert len(store.keys_of_owner("sub_a")) == 2
    assert run(store, Task("t2", SAID, refs=tuple(refs["r2"]))) == 2
    assert store.keys_of_owner("sub_a") == [], "a key that opens nothing goes as well"
    store.close()


def test_the_name_of_a_person_is_forgotten_with_them(tmp_path: Path) -> None:
    store = keystore(tmp_path)
    token = store.token("tenant-a", "alice", may_create=True)
    assert token is not None
    run(store, Task("t1", SAID, owner=token))
    assert store.token("tenant-a", "alice", may_create=False) is None
    again = store.token("tenant-a", "alice", may_create=True)
    assert again not in (None, token)
    store.close()


@pytest.mark.parametrize(
    ("kind", "value", "task"),
    [
        (Kind.SUBJECT, "sub_a", Task("t", SAID, owner="sub_a")),
        (Kind.REQUEST, "r2", Task("t", SAID, owner="sub_a")),
        (Kind.CLASS, "hipaa-6y", Task("t", SAID, owner="sub_a")),
        (Kind.SUBJECT, "sub_nobody", Task("t", SAID, owner="sub_nobody")),
    ],
)
def test_a_hold_over_any_of_it_forbids_all_of_it(tmp_path: Path, kind: Kind, value: str, task: Task) -> None:
    store, refs = filled(tmp_path)
    hold = set_hold(store, Hold(kind, value, "case-1", {}))
    with pytest.raises(HoldsForbid) as error:
        run(store, task)
    assert error.value.holds == (hold.id,)
    assert all(store.dek(ref) for some in refs.values() for ref in some)
    store.close()


@pytest.mark.parametrize(("kind", "value"), [(Kind.SUBJECT, "sub_a"), (Kind.REQUEST, "r1"), (Kind.CLASS, "default")])
def test_a_hold_forbids_erasing_by_request_too(tmp_path: Path, kind: Kind, value: str) -> None:
    store, refs = filled(tmp_path)
    set_hold(store, Hold(kind, value, "case-1", {}))
    with pytest.raises(HoldsForbid):
        run(store, Task("t", SAID, refs=tuple(refs["r1"])))
    assert run(store, Task("t3", SAID, refs=(refs["r3"][1],))) == 1, "what the hold does not name may go"
    store.close()


def test_an_order_is_kept_until_it_is_finished(tmp_path: Path) -> None:
    store, refs = filled(tmp_path)
    task = Task("t1", SAID, refs=tuple(refs["r1"]))
    order(store, task)
    store.close()
    store = keystore(tmp_path)
    assert ordered(store) == [task]
    shred(store, task)
    [done] = ordered(store)
    assert done.shredded == 2
    assert shred(store, done) == 2, "once more does no harm and says the same"
    finish(store, "t1")
    assert ordered(store) == []
    store.close()


@pytest.mark.parametrize("turn", range(12))
def test_of_a_hold_and_an_erasure_at_the_same_moment_exactly_one_wins(tmp_path: Path, turn: int) -> None:
    """Two connections, as two processes have. Either the hold came first and all of it is there, or it is gone."""
    store, refs = filled(tmp_path)
    task = Task("t", SAID, owner="sub_a")
    order(store, task)
    other, start = keystore(tmp_path), threading.Barrier(2)
    forbidden: list[bool] = []

    def hold() -> None:
        start.wait()
        for _ in range(turn * 40):
            pass
        set_hold(other, Hold(Kind.SUBJECT, "sub_a", "case-1", {}))

    def erase() -> None:
        start.wait()
        try:
            shred(store, task)
        except HoldsForbid:
            forbidden.append(True)

    threads = [threading.Thread(target=hold), threading.Thread(target=erase)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    there = [bool(store.rows(ref)) for ref in refs["r1"] + refs["r2"]]
    assert all(there) if forbidden else not any(there)
    other.close()
    store.close()


@pytest.mark.parametrize("kind", ["content.erase", "retention.prune"])
def test_among_many_moved_rows_no_copy_of_an_erased_wrap_stays(tmp_path: Path, kind: str) -> None:
    """Rows of random names move from page to page as the tree grows, and leave copies where they were."""
    store, chance = keystore(tmp_path), Random(7)
    refs = [f"{chance.getrandbits(128):032x}" for _ in range(1500)]
    for first in range(0, len(refs), 50):
        with store.transaction():
            for ref in refs[first : first + 50]:
                store.new_dek(place(f"req-{ref[:6]}", ref=ref), f"sub_{ref[:1]}", SPOT, 10)
    gone = [ref for ref in refs if ref[:1] in "02468ace"]
    doomed = wraps(store, "substr(ref, 1, 1) IN ('0','2','4','6','8','a','c','e')")
    for first in range(0, len(gone), 100):
        order(store, task := Task(f"t{first}", {"type": kind}, refs=tuple(gone[first : first + 100])))
        shred(store, task)
    if kind == "retention.prune":
        store.forget_free_pages()  # as at the end of each run
    left = everything_in(tmp_path)
    assert not [wrap for wrap in set(doomed) if wrap in left]
    assert all(store.dek(ref) for ref in refs if ref not in set(gone))
    store.close()
