"""After a change of the master key the new one opens everything and the old one nothing, whenever it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.content.errors import ContentError, ContentMissing
from gateway.content.keys import MasterKey
from gateway.content.keystore import Keystore
from gateway.content.rekey import rekey
from gateway.content.segments import Spot
from tests.gateway.content.opened import MASTER, ORIGIN, everything_in, keystore, place

NEW = MasterKey(b"n" * 32)
SPOT = Spot("default/0000000000000000.blobs", 0)


def under(path: Path, key: MasterKey, *, alone: bool = False) -> Keystore:
    return Keystore(path / "keystore" / "keys.sqlite", key, ORIGIN, alone=alone)


def is_under(path: Path, key: MasterKey) -> bool:
    try:
        under(path, key).close()
    except ContentError:
        return False
    return True


def filled(path: Path, count: int = 3) -> dict[str, bytes]:
    """A key for each of so many exchanges, and a person; the keys by reference."""
    store = keystore(path)
    with store.transaction():
        places = [place(f"r{number}") for number in range(count)]
        deks = {where.ref: store.new_dek(where, where.req, SPOT, 10)[1] for where in places}
    store.token("bank", "a person", may_create=True)
    store.close()
    return deks


def test_the_new_key_opens_everything_and_the_old_one_nothing(tmp_path: Path) -> None:
    deks = filled(tmp_path, 2500)
    store = under(tmp_path, MASTER, alone=True)
    token = store.token("bank", "a person", may_create=False)
    before = [bytes(row[0]) for row in store.database.execute("SELECT wrapped FROM kek").fetchall()]
    assert rekey(store, NEW) == 2500
    store.forget_free_pages()
    store.close()
    left = everything_in(tmp_path)
    assert not any(wrap in left for wrap in before[:50])
    with pytest.raises(ContentError, match="another master key"):
        under(tmp_path, MASTER)
    again = under(tmp_path, NEW)
    assert {ref: again.dek(ref) for ref in deks} == deks
    assert token == again.token("bank", "a person", may_create=False), "persons are found as before"
    third = MasterKey(b"t" * 32)
    again.close()
    store = under(tmp_path, NEW, alone=True)
    assert rekey(store, third) == 2500
    store.close()
    last = under(tmp_path, third)
    assert token == last.token("bank", "a person", may_create=False)
    last.close()


def test_a_store_that_somebody_has_open_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path)
    other = keystore(tmp_path)
    assert other.rows("r1")
    with pytest.raises(ContentError, match="locked"):
        under(tmp_path, MASTER, alone=True)
    other.close()


def test_the_same_key_and_a_wrap_that_was_altered_change_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    store = keystore(tmp_path)
    with pytest.raises(ContentError, match="is the old one"):
        rekey(store, MasterKey(b"m" * 32))
    store.database.execute("UPDATE kek SET wrapped = zeroblob(40) WHERE owner = 'r2'")
    with pytest.raises(ContentMissing):
        rekey(store, NEW)
    store.close()
    under(tmp_path, MASTER).close()


PROGRAM = """
import sys
from pathlib import Path
from tests.gateway.content.test_rekey import MASTER, NEW, under
from gateway.content.rekey import rekey
store = under(Path(sys.argv[1]), MASTER, alone=True)
print("ready", flush=True)
rekey(store, NEW)
print("done", flush=True)
store.forget_free_pages()
sys.stdin.read()
"""


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.06, 0.12, 1.0])
def test_killed_at_any_moment_one_of_the_keys_opens_everything(tmp_path: Path, after_s: float) -> None:
    deks = filled(tmp_path, 3000)
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGKILL)
    counts, other = (MASTER, NEW) if is_under(tmp_path, MASTER) else (NEW, MASTER)
    assert not is_under(tmp_path, other)
    store = under(tmp_path, counts)
    assert {ref: store.dek(ref) for ref in deks} == deks
    store.close()
