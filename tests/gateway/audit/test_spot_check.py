"""One sealed segment is read again at each start; what is wrong with it is a record, and stops nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.audit.epochs import load_chain
from gateway.audit.log import AuditLog
from gateway.audit.record import Json
from gateway.audit.seal import seal_path
from gateway.audit.spot_check import spot_check
from tests.gateway.audit.harness import records_in, segments_in, settings_in, small_log, trust_in, types_in


def first_checked(path: Path) -> dict[str, Json] | None:
    chain = load_chain(path / "log", trust_in(path))
    return spot_check(path / "log", chain, 14, lambda closed: closed[0])


def outcome(path: Path) -> object:
    record = first_checked(path)
    assert record is not None
    return record["verify"]


def test_a_segment_that_is_as_it_was_sealed_is_told(tmp_path: Path) -> None:
    small_log(tmp_path)
    assert outcome(tmp_path) == {"scope": "segment", "first": 0, "outcome": "ok"}


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


@pytest.mark.parametrize("harm", ["record", "cut", "seal", "gone", "other"])
def test_what_is_not_is_told_by_its_code(tmp_path: Path, harm: str) -> None:
    small_log(tmp_path, starts=3)
    first, second = segments_in(tmp_path)[:2]
    if harm == "record":
        replace_in(first, b'"released":7', b'"released":8')
    elif harm == "cut":
        first.write_bytes(first.read_bytes()[:-10])
    elif harm == "seal":
        replace_in(seal_path(first), b"first 0", b"first 1")
    elif harm == "gone":
        seal_path(first).unlink()
    else:
        seal_path(first).write_bytes(seal_path(second).read_bytes())
    codes = {
        "record": "seal_digest",
        "cut": "seal_digest",
        "seal": "seal",
        "gone": "seal_missing",
        "other": "seal_range",
    }
    assert outcome(tmp_path) == {"scope": "segment", "first": 0, "outcome": "failed", "code": codes[harm]}


def test_bytes_that_do_not_count_do_not_matter(tmp_path: Path) -> None:
    small_log(tmp_path)
    with segments_in(tmp_path)[0].open("ab") as file:
        file.write(b"behind")
    assert outcome(tmp_path) == {"scope": "segment", "first": 0, "outcome": "ok"}


@pytest.mark.parametrize(("version", "starts"), [(1, 2), (2, 0)])
def test_where_nothing_is_sealed_nothing_is_checked(tmp_path: Path, version: int, starts: int) -> None:
    small_log(tmp_path, version=version, starts=max(1, starts))
    chain = load_chain(tmp_path / "log", trust_in(tmp_path))
    assert spot_check(tmp_path / "log", chain, 0 if starts == 0 else 14) is None


async def test_the_outcome_is_a_record_and_no_start_waits_for_it(tmp_path: Path) -> None:
    await AuditLog.open(settings_in(tmp_path, spot_check=True)).close()
    log = AuditLog.open(settings_in(tmp_path, spot_check=True))
    for _ in range(500):
        if "verify.run" in types_in(tmp_path):
            break
        await asyncio.sleep(0.01)
    await log.close()
    [told] = [record for record in records_in(tmp_path) if record["type"] == "verify.run"]
    assert told["verify"] == {"scope": "segment", "first": 0, "outcome": "ok"}
