"""The newest head in a second place: a log that was set back, or that two processes write, does not go on."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.clock import SystemClock
from gateway.audit.errors import AuditError, AuditUnavailable, HeadConflict
from gateway.audit.head_store import Head, HeadStore
from gateway.audit.log import AuditLog, AuditSettings
from tests.gateway.audit.harness import ORIGIN, opened, records_in, settings_in, small_log, types_in, verified


def store_in(path: Path) -> Path:
    return path / "elsewhere" / "head.sqlite"


def run_log(path: Path, records: int = 1) -> None:
    log = opened(path, clock=SystemClock(), head_store=store_in(path))
    for _ in range(records):
        log.writer.write([{"type": "auth.fail"}])
    log.writer.sign_head()
    log.close()


def test_a_log_goes_on_from_the_head_that_the_store_knows(tmp_path: Path) -> None:
    run_log(tmp_path)
    run_log(tmp_path)

    assert types_in(tmp_path).count("audit.head_store") == 1, "only the first start finds it empty"
    assert verified(tmp_path).records == len(records_in(tmp_path))
    with closing(HeadStore(store_in(tmp_path), ORIGIN)) as store:
        assert store.stored is not None
        assert store.stored.size == len(records_in(tmp_path))


def test_a_restored_snapshot_of_the_log_refuses_to_start(tmp_path: Path) -> None:
    """The older copy is whole, signed and verifies; only the second place knows that there was more."""
    run_log(tmp_path)
    shutil.copytree(tmp_path / "log", tmp_path / "snapshot")
    run_log(tmp_path, records=5)
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "snapshot").rename(tmp_path / "log")
    assert verified(tmp_path).finding is None

    with pytest.raises(AuditError, match="history is missing") as caught:
        run_log(tmp_path)

    assert caught.value.code == "audit_rollback"


def test_another_history_of_the_same_length_refuses_to_start(tmp_path: Path) -> None:
    run_log(tmp_path)
    shutil.copytree(tmp_path / "log", tmp_path / "snapshot")
    run_log(tmp_path)
    with closing(sqlite3.connect(store_in(tmp_path))) as database, database:
        database.execute("UPDATE head SET root = zeroblob(32)")
    with pytest.raises(AuditError) as caught:
        run_log(tmp_path)
    assert caught.value.code == "audit_corrupt"


def test_a_store_that_was_set_back_refuses_to_start(tmp_path: Path) -> None:
    run_log(tmp_path)
    old = store_in(tmp_path).read_bytes()
    run_log(tmp_path)
    store_in(tmp_path).write_bytes(old)
    with pytest.raises(AuditError, match="set back") as caught:
        run_log(tmp_path)
    assert caught.value.code == "audit_head_store"


def test_a_store_that_is_none_refuses_to_start_and_leaves_the_log_free(tmp_path: Path) -> None:
    store_in(tmp_path).parent.mkdir()
    store_in(tmp_path).write_bytes(b"something else" * 99)
    with pytest.raises(AuditError) as caught:
        AuditLog.open(settings_in(tmp_path, head_store=store_in(tmp_path)))
    assert caught.value.code == "audit_head_store"
    opened(tmp_path).close()


def test_a_log_that_existed_before_the_store_says_when_it_got_one(tmp_path: Path) -> None:
    small_log(tmp_path)
    run_log(tmp_path)
    assert "audit.head_store" in types_in(tmp_path)[28:]
    assert verified(tmp_path).finding is None


def test_of_two_that_write_the_same_log_the_second_stops(tmp_path: Path) -> None:
    """Two copies of one machine, each with its own disk, share the store."""
    run_log(tmp_path)
    twin = tmp_path / "twin"
    shutil.copytree(tmp_path / "log", twin / "log")
    shutil.copytree(tmp_path / "keys", twin / "keys")
    first = opened(tmp_path, head_store=store_in(tmp_path))
    with pytest.raises(AuditError):
        opened(twin, head_store=store_in(tmp_path))
    first.close()


async def test_a_fork_ends_the_writing_for_good(tmp_path: Path) -> None:
    settings = replace(settings_in(tmp_path, head_store=store_in(tmp_path)), checkpoint_interval_s=0.01)
    log = AuditLog.open(replace(settings, probe_interval_s=0.02))
    await log.append({"type": "auth.fail"})
    with closing(sqlite3.connect(store_in(tmp_path))) as database, database:
        database.execute("UPDATE head SET size = size + 1000")
    await _until_it_fails(log)
    before = len(records_in(tmp_path))
    await asyncio.sleep(0.2)
    with pytest.raises(AuditUnavailable, match="another process goes on with this log"):
        await log.append({"type": "auth.fail"})
    assert len(records_in(tmp_path)) == before, "not even a probe was written"
    await log.close()


async def _until_it_fails(log: AuditLog) -> None:
    for _ in range(500):
        try:
            await log.append({"type": "auth.fail"})
        except AuditUnavailable:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the log went on beside a fork")


def test_a_swap_that_may_have_happened_is_not_a_conflict(tmp_path: Path) -> None:
    """The store did not answer, so nobody knows which of our two heads it holds; both are ours."""
    with closing(HeadStore(tmp_path / "h", "o")) as store:
        store.swap(Head(1, b"a" * 32))
        with closing(sqlite3.connect(tmp_path / "h", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(AuditUnavailable, match="locked"):
                store.swap(Head(2, b"b" * 32))
            other.execute("ROLLBACK")
        store.swap(Head(3, b"c" * 32))
        with closing(HeadStore(tmp_path / "h", "o")) as reader:
            assert reader.stored == Head(3, b"c" * 32)


def test_heads_of_several_logs_do_not_meet(tmp_path: Path) -> None:
    with closing(HeadStore(tmp_path / "h", "a")) as one, closing(HeadStore(tmp_path / "h", "b")) as other:
        one.swap(Head(1, b"a" * 32))
        other.swap(Head(7, b"b" * 32))
        one.swap(Head(2, b"c" * 32))
    with closing(HeadStore(tmp_path / "h", "a")) as thief:
        thief.swap(Head(9, b"x" * 32))


def test_a_conflict_is_raised_before_anything_is_changed(tmp_path: Path) -> None:
    with closing(HeadStore(tmp_path / "h", "a")) as one, closing(HeadStore(tmp_path / "h", "a")) as two:
        one.swap(Head(1, b"a" * 32))
        with pytest.raises(HeadConflict):
            two.swap(Head(1, b"b" * 32))
        one.swap(Head(2, b"c" * 32))


def test_the_store_may_not_lie_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside the log directory"):
        AuditSettings(tmp_path / "log", ORIGIN, tmp_path / "key.pem", head_store=tmp_path / "log" / "h")
