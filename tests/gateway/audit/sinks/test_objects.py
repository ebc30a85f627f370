"""The log as objects in a store, over HTTP: names, retention, lost answers, hanging and refusing stores."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.audit.errors import AuditUnavailable
from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from gateway.audit.sinks.settings import ObjectPlace, SinkSettings, SinksSettings
from gateway.audit.sinks.stored import PART, RECORDS
from tests.gateway.audit.harness import ORIGIN, lines_in, small_log
from tests.gateway.audit.sinks.places import log_settings, until
from tests.gateway.audit.sinks.s3_server import ACCESS, BUCKET, REGION, SECRET, Store, s3_server


@pytest.fixture
def s3() -> Iterator[tuple[Store, str]]:
    with s3_server() as running:
        yield running


def place_at(endpoint: str, **more: object) -> ObjectPlace:
    options = {"prefix": "site", "region": REGION, "window_s": 0.0} | more
    return ObjectPlace(endpoint, BUCKET, ACCESS, SECRET, **options)  # type: ignore[arg-type]


def sinks_at(path: Path, place: ObjectPlace, require: int = 2, **more: object) -> SinksSettings:
    options = {"retry_s": 0.05, "deadline_s": 3.0} | more
    return SinksSettings((SinkSettings("worm", place, **options),), require, path / "state")  # type: ignore[arg-type]


def held(store: Store) -> list[bytes]:
    """Every line in the bucket, in order."""
    names = [name for name in store.names() if name.endswith(".jsonl")]
    return [line for name in names for line in (store.objects[name][0].data or b"").splitlines()]


async def test_acknowledged_record_is_in_an_object_whose_name_says_so(tmp_path: Path, s3: tuple[Store, str]) -> None:
    store, endpoint = s3
    log = AuditLog.open(log_settings(tmp_path, sinks_at(tmp_path, place_at(endpoint))))
    receipt = await log.append({"type": "auth.fail", "n": 4711})
    assert leaf_hash(held(store)[receipt.seq]) == receipt.leaf
    await log.close()
    assert held(store) == lines_in(tmp_path)
    base = f"site/{ORIGIN}/"
    for name in store.names():
        inner = name.removeprefix(base)
        assert name.startswith(base)
        known = RECORDS.fullmatch(inner) or PART.fullmatch(inner)
        assert known or re.fullmatch(r"LOG|keys/\d{8}\.vkey|seals/\d{16}\.seal", inner), name
    assert store.objects[base + "LOG"][0].data == (tmp_path / "log" / "LOG").read_bytes()
    assert store.bad_signatures == 0


async def test_second_start_goes_on_where_the_bucket_ends_and_puts_nothing_twice(
    tmp_path: Path, s3: tuple[Store, str]
) -> None:
    store, endpoint = s3
    for start in range(3):
        log = AuditLog.open(log_settings(tmp_path, sinks_at(tmp_path, place_at(endpoint))))
        for number in range(4):
            await log.append({"type": "auth.fail", "n": 10 * start + number})
        await log.close()
        (tmp_path / "state" / "worm.position").unlink()
    assert held(store) == lines_in(tmp_path)
    assert [name for name, versions in store.objects.items() if len(versions) > 1] == []
    parts = [store.objects[name][0].data or b"" for name in store.names() if "checkpoints.log" in name]
    assert b"".join(parts) == (tmp_path / "log" / "checkpoints.log").read_bytes()


async def test_each_object_carries_the_retention(tmp_path: Path, s3: tuple[Store, str]) -> None:
    store, endpoint = s3
    place = place_at(endpoint, retention_mode="COMPLIANCE", retention_days=30)
    log = AuditLog.open(log_settings(tmp_path, sinks_at(tmp_path, place)))
    await log.append({"type": "auth.fail"})
    await log.close()
    locks = {(version.mode, bool(version.until)) for versions in store.objects.values() for version in versions}
    assert locks == {("COMPLIANCE", True)}


async def test_records_of_a_window_share_an_object(tmp_path: Path, s3: tuple[Store, str]) -> None:
    store, endpoint = s3
    log = AuditLog.open(log_settings(tmp_path, sinks_at(tmp_path, place_at(endpoint, window_s=0.15), require=1)))
    began = time.monotonic()
    for number in range(50):
        await log.append({"type": "auth.fail", "n": number})
    await log.close()
    windows = (time.monotonic() - began) / 0.15
    assert held(store) == lines_in(tmp_path)
    objects = sum(name.endswith(".jsonl") for name in store.names())
    assert objects <= windows + 4, "one a window, the first, and those at the ends of log and segment"


async def test_put_whose_answer_was_lost_is_not_lost_and_not_held_against_the_store(
    tmp_path: Path, s3: tuple[Store, str]
) -> None:
    store, endpoint = s3
    log = AuditLog.open(log_settings(tmp_path, sinks_at(tmp_path, place_at(endpoint))))
    await log.append({"type": "auth.fail", "n": 1})
    store.lose_answers = 1
    await log.append({"type": "auth.fail", "n": 2})
    await log.append({"type": "auth.fail", "n": 3})
    await log.close()
    assert held(store) == lines_in(tmp_path)


async def test_store_that_refuses_or_hangs_stops_the_log_and_lets_it_go_on(
    tmp_path: Path, s3: tuple[Store, str]
) -> None:
    store, endpoint = s3
    sinks = sinks_at(tmp_path, place_at(endpoint), required=True, deadline_s=0.5)
    log = AuditLog.open(log_settings(tmp_path, sinks))
    await log.append({"type": "auth.fail", "n": 1})
    for trouble in ({"refuse": "SlowDown"}, {"hang_s": 1.0}):
        for name, value in trouble.items():
            setattr(store, name, value)
        with pytest.raises(AuditUnavailable, match="sink `worm`"):
            await log.append({"type": "auth.fail", "n": 2})
        store.refuse, store.hang_s = "", 0.0
        await asyncio.to_thread(until, lambda: log.healthy)
        await log.append({"type": "auth.fail", "n": 3})
    await log.close()
    assert held(store) == lines_in(tmp_path)


async def test_bucket_that_was_emptied_is_told_and_not_filled_anew(tmp_path: Path, s3: tuple[Store, str]) -> None:
    store, endpoint = s3
    settings = log_settings(tmp_path, sinks_at(tmp_path, place_at(endpoint), require=1, deadline_s=0.1))
    log = AuditLog.open(settings)
    await log.append({"type": "auth.fail"})
    await log.close()
    store.objects.clear()
    log = AuditLog.open(settings)
    await asyncio.to_thread(until, lambda: log.sinks[0].code == "sink_set_back")
    await log.close()
    assert store.names() == []


async def test_wrong_key_is_refused_by_the_store_and_told_by_its_code(tmp_path: Path, s3: tuple[Store, str]) -> None:
    store, endpoint = s3
    small_log(tmp_path)
    place = ObjectPlace(endpoint, BUCKET, ACCESS, "wrong", region=REGION)
    log = AuditLog.open(log_settings(tmp_path, sinks_at(tmp_path, place, require=1, deadline_s=0.1)))
    await asyncio.to_thread(until, lambda: log.sinks[0].code == "sink_failed")
    await log.close()
    assert store.names() == []
