"""Batches: numbers, links, and the records the writer adds itself."""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.audit.errors import AuditUnavailable, RecordError
from gateway.audit.merkle import leaf_hash
from gateway.audit.writer import Receipt
from tests.gateway.audit.harness import (
    FaultyFiles,
    FixedClock,
    lines_in,
    opened,
    records_in,
    segments_in,
    types_in,
    verified,
)


def test_each_record_links_to_the_bytes_of_the_one_before(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.writer.write([{"type": "a"}, {"type": "b"}])
    lines = lines_in(tmp_path)
    assert json.loads(lines[0])["prev"] == b64encode(bytes(32)).decode()
    for before, line in pairwise(lines):
        assert json.loads(line)["prev"] == b64encode(leaf_hash(before)).decode()
    assert [json.loads(line)["seq"] for line in lines] == [0, 1, 2]
    log.close()


def test_refused_record_takes_no_number(tmp_path: Path) -> None:
    log = opened(tmp_path)
    results = log.writer.write([{"type": "a"}, {"type": "b", "s": "x" * 40_000}, {"type": "c"}])
    assert [type(result) for result in results] == [Receipt, RecordError, Receipt]
    assert types_in(tmp_path) == ["gateway.start", "a", "c"]
    log.writer.sign_head()
    assert verified(tmp_path).exit == 0
    log.close()


def test_lost_segment_is_told_in_the_first_record_of_the_next(tmp_path: Path) -> None:
    failing: set[str] = set()
    log = opened(tmp_path, FaultyFiles(lambda _, name: 5 if name in failing else None))
    size = segments_in(tmp_path)[0].stat().st_size
    fail_once = iter([True])
    log.files.fault = lambda _, name: 5 if name == "datasync" and next(fail_once, False) else None  # type: ignore[attr-defined]
    [receipt] = log.writer.write([{"type": "a"}])
    assert receipt == Receipt(2, leaf_hash(segments_in(tmp_path)[1].read_bytes().splitlines()[1]))
    told = json.loads(segments_in(tmp_path)[1].read_bytes().splitlines()[0])
    assert (told["type"], told["seq"], told["continues"]) == ("audit.fail", 1, {"first": 0, "offset": size})
    log.writer.sign_head()
    log.close()
    assert verified(tmp_path).exit == 0
    assert segments_in(tmp_path)[0].stat().st_size > size


def test_batch_that_fails_twice_leaves_nothing_in_the_tree(tmp_path: Path) -> None:
    failing: set[str] = set()
    log = opened(tmp_path, FaultyFiles(lambda _, name: 5 if name in failing else None))
    head = log.writer.head
    failing.add("datasync")
    with pytest.raises(AuditUnavailable):
        log.writer.write([{"type": "lost"}])
    assert log.writer.head == head
    failing.clear()
    log.writer.write([{"type": "kept"}])
    log.writer.sign_head()
    log.close()
    assert types_in(tmp_path)[-2:] == ["audit.fail", "kept"]
    assert verified(tmp_path).exit == 0


@pytest.mark.parametrize("step_ns", [-1_000_000_000, 3_600_000_000_000])
def test_clock_that_was_set_is_told_before_the_records_it_dates(tmp_path: Path, step_ns: int) -> None:
    clock = FixedClock()
    log = opened(tmp_path, clock=clock)
    log.writer.write([{"type": "a"}])
    clock.wall += step_ns
    with capture_logs() as told:
        log.writer.write([{"type": "b"}])
        log.writer.sign_head()
    log.close()
    assert [(line["event"], line["seconds"]) for line in told] == [("clock_stepped", round(step_ns / 1e9, 1))]
    assert types_in(tmp_path) == ["gateway.start", "a", "clock.step", "b"]
    assert verified(tmp_path).exit == 0


def test_clock_that_went_back_while_the_process_was_down_is_told(tmp_path: Path) -> None:
    opened(tmp_path, clock=FixedClock(2_000 * 10**15)).close()
    opened(tmp_path, clock=FixedClock(1_900 * 10**15, boot=7)).close()
    assert types_in(tmp_path) == ["gateway.start", "clock.step", "gateway.start"]
    assert records_in(tmp_path)[1]["clock"] == {"from": "2000000000003000000", "to": "1900000000002000000"}
    assert verified(tmp_path).exit == 0


def pass_by(clock: FixedClock, wall_s: float, mono_s: float) -> None:
    clock.wall += round(wall_s * 10**9)
    clock.mono += round(mono_s * 10**9)


def test_head_that_comes_late_says_so_first(tmp_path: Path) -> None:
    """A process that was stopped for three minutes; without the record the verifier would ask what happened then."""
    clock = FixedClock()
    log = opened(tmp_path, clock=clock)
    pass_by(clock, 180, 180)
    log.writer.sign_head()
    log.writer.sign_head()
    log.close()
    assert types_in(tmp_path) == ["gateway.start", "audit.fail"]
    assert records_in(tmp_path)[1]["err"] == {"code": "head_late", "where": "head", "late_ms": 180002}
    assert verified(tmp_path).finding is None


def test_late_writer_says_so_before_the_records_that_wait(tmp_path: Path) -> None:
    clock = FixedClock()
    log = opened(tmp_path, clock=clock)
    pass_by(clock, 90, 90)
    log.writer.write([{"type": "a"}])
    pass_by(clock, 90, 90)
    log.writer.sign_head()
    log.close()
    assert types_in(tmp_path) == ["gateway.start", "audit.fail", "a", "audit.fail"]
    assert verified(tmp_path).finding is None


def test_heads_that_are_in_time_say_nothing(tmp_path: Path) -> None:
    clock = FixedClock()
    log = opened(tmp_path, clock=clock)
    for _ in range(5):
        pass_by(clock, 60, 60)
        log.writer.sign_head()
    log.close()
    assert types_in(tmp_path) == ["gateway.start"]
    assert verified(tmp_path).finding is None


@pytest.mark.parametrize("wall_s", [600, -600])
def test_clock_that_is_set_while_nothing_happens_is_told_with_the_next_head(tmp_path: Path, wall_s: float) -> None:
    """A machine that slept: its monotonic clock stood still."""
    clock = FixedClock()
    log = opened(tmp_path, clock=clock)
    pass_by(clock, wall_s, 1)
    log.writer.sign_head()
    log.close()
    assert types_in(tmp_path) == ["gateway.start", "clock.step"]
    assert verified(tmp_path).finding is None


def test_segment_that_is_lost_while_the_clock_goes_back_and_an_epoch_begins(tmp_path: Path) -> None:
    """What has to be in the first record is in the first record: one says both."""
    clock = FixedClock()
    log = opened(tmp_path, FaultyFiles(), clock, epoch_s=86_400)
    log.writer.write([{"type": "a"}])
    fail_once = iter([True])
    log.files.fault = lambda _, name: 5 if name == "datasync" and next(fail_once, False) else None  # type: ignore[attr-defined]
    pass_by(clock, -10, 0.001)
    with capture_logs() as told:
        log.writer.write([{"type": "b"}])
    assert [line["event"] for line in told] == ["audit_segment_lost", "clock_stepped"]
    pass_by(clock, 86_500, 86_500)
    log.writer.sign_head()
    log.close()
    told = records_in(tmp_path)
    [step] = [record for record in told if "continues" in record]
    assert step["type"] == "clock.step"
    assert (step["err"], step["continues"]) == (
        {"code": "segment_lost", "where": "sync"},
        {"first": 0, "offset": step_offset(tmp_path)},
    )
    assert "key.epoch" in types_in(tmp_path)
    report = verified(tmp_path)
    assert report.finding is None, report.finding


def step_offset(path: Path) -> int:
    """Where the second record ends."""
    first, second = segments_in(path)[0].read_bytes().splitlines(keepends=True)[:2]
    return len(first) + len(second)
