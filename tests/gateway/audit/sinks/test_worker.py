"""One sink's thread: order, catching up, being late, failing and coming back, and an end that delivers everything."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from gateway.audit.errors import AuditError
from gateway.audit.files import OsFiles
from gateway.audit.sinks.errors import SinkConflict
from gateway.audit.sinks.position import Piece, PositionFile
from gateway.audit.sinks.worker import Worker
from tests.doubles import HandClock
from tests.gateway.audit.harness import ORIGIN, lines_in, small_log
from tests.gateway.audit.sinks.places import Gate, ScriptedSink, until, worker_of


@pytest.fixture
def changed() -> threading.Condition:
    return threading.Condition()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    small_log(tmp_path, exchanges=3, starts=3)
    return tmp_path


def end(worker: Worker) -> None:
    worker.ask_to_end()
    worker.join()


def test_everything_durable_is_delivered_in_order_and_heads_come_after_what_they_cover(
    log: Path, changed: threading.Condition
) -> None:
    sink, lines = ScriptedSink(), lines_in(log)
    worker = worker_of(log, sink, changed)
    worker.start(len(lines))
    end(worker)
    assert sink.lines == lines
    assert sink.order[0] == "LOG"
    last_records = max(index for index, name in enumerate(sink.order) if name.endswith("records"))
    assert sink.order.index("checkpoints.log") > last_records
    assert sink.files["checkpoints.log"] == (log / "log" / "checkpoints.log").read_bytes()


def test_nothing_behind_the_last_durable_record_is_looked_at(log: Path, changed: threading.Condition) -> None:
    """What is behind it may be half written, or never count."""
    sink, lines = ScriptedSink(), lines_in(log)
    worker = worker_of(log, sink, changed)
    worker.start(7)
    until(lambda: worker.acked == 7)
    time.sleep(0.1)
    assert sink.lines == lines[:7]
    assert "checkpoints.log" not in sink.order, "the newest head covers records that are not there"
    worker.offer(len(lines))
    end(worker)
    assert sink.lines == lines


def test_sink_that_hangs_is_late_after_its_deadline_and_up_again_when_it_answers(
    log: Path, changed: threading.Condition
) -> None:
    gate, clock = Gate(), HandClock()
    gate.open.clear()
    worker = worker_of(log, ScriptedSink(gate), changed, clock, deadline_s=2)
    worker.start(5)
    clock.now += 2
    assert worker.state().up
    clock.now += 0.1
    assert not worker.state().up
    assert (worker.state().code, worker.state().lag) == ("sink_late", 5)
    gate.open.set()
    until(lambda: worker.state().up)
    assert worker.state().lag == 0
    end(worker)


def test_sink_under_constant_load_is_not_late_as_long_as_it_moves(log: Path, changed: threading.Condition) -> None:
    """Each put takes less than the deadline, and when it is done the next records have come already."""
    begun, may_end, clock = threading.Semaphore(0), threading.Semaphore(0), HandClock()

    def put(piece: Piece) -> None:
        begun.release()
        may_end.acquire(timeout=20)

    worker = worker_of(log, ScriptedSink(put), changed, clock, deadline_s=2)
    worker.start(1)
    for durable in range(2, 12):
        assert begun.acquire(timeout=20)
        worker.offer(durable)
        clock.now += 1.5
        assert worker.state().up, f"{durable}"
        may_end.release()
        until(lambda done=durable - 1: worker.acked == done)  # type: ignore[misc]
    may_end.release(2)
    end(worker)


def test_failing_sink_is_connected_again_and_goes_on_where_it_was(log: Path, changed: threading.Condition) -> None:
    gate, lines = Gate(), lines_in(log)
    sink = ScriptedSink(gate)
    worker = worker_of(log, sink, changed, deadline_s=0.05)
    worker.start(4)
    until(lambda: worker.acked == 4)
    gate.failing = True
    worker.offer(9)
    until(lambda: worker.state().code == "sink_failed")
    gate.failing = False
    until(lambda: worker.acked == 9)
    assert sink.connections >= 2
    assert sink.lines == lines[:9]
    end(worker)


def test_conflict_is_told_at_once(log: Path, changed: threading.Condition) -> None:
    def behave(piece: Piece) -> None:
        raise SinkConflict("sink_changed", "scripted")

    worker = worker_of(log, ScriptedSink(behave), changed, deadline_s=60)
    worker.start(4)
    until(lambda: not worker.state().up, seconds=1)
    assert worker.state().code == "sink_changed"
    end(worker)


def test_bug_in_a_sink_is_an_error_of_that_sink(log: Path, changed: threading.Condition) -> None:
    def behave(piece: Piece) -> None:
        raise ZeroDivisionError

    worker = worker_of(log, ScriptedSink(behave), changed, deadline_s=0.05)
    worker.start(4)
    until(lambda: worker.state().code == "sink_crashed")
    end(worker)


def test_sink_that_holds_more_than_the_log_is_a_conflict(log: Path, changed: threading.Condition) -> None:
    sink, count = ScriptedSink(), len(lines_in(log))
    first = worker_of(log, sink, changed)
    first.start(count)
    end(first)
    second = worker_of(log, sink, changed)
    second.start(count - 2)
    until(lambda: second.state().code == "sink_ahead")
    end(second)


def test_log_that_was_altered_while_the_sink_was_away_does_not_reach_it(
    log: Path, changed: threading.Condition
) -> None:
    sink, count = ScriptedSink(), len(lines_in(log))
    segment = sorted((log / "log" / "seg").glob("*.jsonl"))[1]
    segment.write_bytes(segment.read_bytes().replace(b'"req":"1-0"', b'"req":"1-X"', 1))
    worker = worker_of(log, sink, changed)
    worker.start(count)
    until(lambda: worker.state().code == "log_changed")
    assert len(sink.lines) < count
    end(worker)


def test_position_is_remembered_as_a_lower_bound(log: Path, changed: threading.Condition) -> None:
    worker = worker_of(log, ScriptedSink(), changed)
    worker.start(9)
    until(lambda: worker.acked == 9)
    worker.offer(len(lines_in(log)))
    end(worker)
    found = PositionFile(log / "state" / "one.position", ORIGIN, OsFiles()).load()
    assert found is not None
    assert found.seq == len(lines_in(log))
    assert json.loads((log / "state" / "one.position").read_bytes())["seq"] == found.seq


def test_position_file_that_says_nothing_stops_the_start(log: Path, changed: threading.Condition) -> None:
    (log / "state").mkdir()
    (log / "state" / "one.position").write_bytes(b"{}")
    with pytest.raises(AuditError, match=r"one\.position"):
        worker_of(log, ScriptedSink(), changed)
