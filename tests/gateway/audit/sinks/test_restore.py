"""A log made again from a bucket: verify accepts it, and what was done to the bucket is named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.audit.sinks.bucket import Bucket
from gateway.audit.sinks.errors import RestoreError, SinkError
from gateway.audit.sinks.restore import restore
from tests.gateway.audit.harness import ORIGIN, exchange
from tests.gateway.audit.sinks.places import log_settings, proved, same_files
from tests.gateway.audit.sinks.s3_server import Store, s3_server
from tests.gateway.audit.sinks.test_objects import place_at, sinks_at


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[tuple[Store, Bucket]]:
    """A store that holds a log of three runs."""
    with s3_server() as (store, endpoint):
        for start in range(3):
            asyncio.run(_run(tmp_path, endpoint, start))
        yield store, Bucket(place_at(endpoint), ORIGIN)


async def _run(path: Path, endpoint: str, start: int) -> None:
    log = AuditLog.open(log_settings(path, sinks_at(path, place_at(endpoint))))
    for number in range(3):
        for record in exchange(f"{start}-{number}"):
            await log.append(record)  # type: ignore[arg-type]
    await log.close()


def test_restored_log_is_the_log_and_proves_itself(tmp_path: Path, s3: tuple[Store, Bucket]) -> None:
    restored = restore(s3[1], tmp_path / "again")
    assert restored.records == proved(tmp_path, "again").records == proved(tmp_path).records
    assert (restored.removed, restored.replaced) == ([], [])
    same_files(tmp_path / "log", tmp_path / "again")


def test_store_that_keeps_no_versions_is_restored_too(tmp_path: Path, s3: tuple[Store, Bucket]) -> None:
    s3[0].keeps_versions = False
    restore(s3[1], tmp_path / "again")
    same_files(tmp_path / "log", tmp_path / "again")


def test_what_was_removed_or_replaced_later_is_undone_and_named(tmp_path: Path, s3: tuple[Store, Bucket]) -> None:
    """Whoever has the gateway's keys can add versions; under a lock the first ones stay."""
    store, bucket = s3
    base = f"site/{ORIGIN}/"
    records = [name for name in store.names() if name.endswith(".jsonl")]
    store.put(records[2], b"forged\n")
    store.put(records[5], None)
    restored = restore(bucket, tmp_path / "again")
    assert restored.replaced == [records[2].removeprefix(base)]
    assert restored.removed == [records[5].removeprefix(base)]
    same_files(tmp_path / "log", tmp_path / "again")


def test_objects_that_overlap_with_the_same_bytes_are_one_log(tmp_path: Path, s3: tuple[Store, Bucket]) -> None:
    """What a put leaves whose answer was lost, and that was done again with more."""
    store, bucket = s3
    first, second = [name for name in store.names() if name.endswith(".jsonl")][1:3]
    joined = (store.objects[first][0].data or b"") + (store.objects[second][0].data or b"")
    store.put(first.rpartition("-")[0] + "-" + second.rpartition("-")[2], joined)
    restore(bucket, tmp_path / "again")
    same_files(tmp_path / "log", tmp_path / "again")


def test_objects_that_overlap_with_other_bytes_are_not_joined(tmp_path: Path, s3: tuple[Store, Bucket]) -> None:
    store, bucket = s3
    first, second = [name for name in store.names() if name.endswith(".jsonl")][1:3]
    forged = b"forged\n" + (store.objects[second][0].data or b"")
    store.put(first.rpartition("-")[0] + "-" + second.rpartition("-")[2], forged)
    with pytest.raises(RestoreError, match="differs from another object"):
        restore(bucket, tmp_path / "again")


@pytest.mark.parametrize("kind", [".jsonl", "checkpoints.log"])
def test_hole_is_told_and_not_closed(tmp_path: Path, s3: tuple[Store, Bucket], kind: str) -> None:
    store, bucket = s3
    del store.objects[next(name for name in store.names() if kind in name)]
    with pytest.raises(RestoreError, match="not in the bucket"):
        restore(bucket, tmp_path / "again")


def test_nothing_is_restored_from_nothing_or_over_something(tmp_path: Path, s3: tuple[Store, Bucket]) -> None:
    store, bucket = s3
    with pytest.raises(FileExistsError):
        restore(bucket, tmp_path / "log")
    store.objects.clear()
    with pytest.raises(RestoreError, match="no object"):
        restore(bucket, tmp_path / "again")


def test_name_that_leads_elsewhere_is_refused(tmp_path: Path, s3: tuple[Store, Bucket]) -> None:
    store, bucket = s3
    store.put(f"site/{ORIGIN}/keys/../../../escaped", b"x")
    with pytest.raises((RestoreError, SinkError)):
        restore(bucket, tmp_path / "again")
    assert not (tmp_path / "escaped").exists()
