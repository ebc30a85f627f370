"""When a head is given away, what is written of it, and what a failure does: nothing to the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.audit.anchors.anchor import HeadNote, Heads
from gateway.audit.anchors.errors import AnchorError
from gateway.audit.anchors.history import TAIL, Anchored, AnchorHistory
from gateway.audit.anchors.runner import Anchors
from gateway.audit.anchors.settings import AnchorSettings, FileDrop
from gateway.audit.clock import SystemClock
from gateway.audit.record import Json
from tests.gateway.audit.harness import FixedClock, Opened, exchange, opened, put_test_key, records_in, trust_in

PLACE = FileDrop(Path("/nowhere"))


class Scripted:
    """An anchor that remembers what it got, and fails as told."""

    def __init__(self) -> None:
        self.sizes, self.failure, self.closed = list[int](), None, threading.Event()
        self.failure: Exception | None

    def put(self, head: HeadNote) -> dict[str, Json]:
        if self.failure is not None:
            raise self.failure
        self.sizes.append(head.head.size)
        return {"note": head.note.decode()}

    def close(self) -> None:
        self.closed.set()


class LateClock(SystemClock):
    """Now, and `late_s` later."""

    late_s = 0.0
    set_back_s = 0.0
    """By how much the clock on the wall was set back."""

    def wall_ns(self) -> int:
        return super().wall_ns() + round((self.late_s - self.set_back_s) * 1e9)

    def mono_ns(self) -> int:
        return super().mono_ns() + round(self.late_s * 1e9)


class Site:
    """A log whose steps happen when they are called, and anchors whose turns do."""

    def __init__(self, path: Path, *anchors: Scripted, max_age_s: float | None = None) -> None:
        self.path, self.anchors, self.clock = path, anchors, LateClock()
        put_test_key(path)
        self.log: Opened = opened(path, clock=FixedClock())
        self.all = self.made(max_age_s)

    def made(self, max_age_s: float | None = None) -> Anchors:
        settings = [AnchorSettings(f"a{number}", PLACE, 0.02, max_age_s) for number in range(len(self.anchors))]
        pairs = list(zip(settings, self.anchors, strict=True))
        return Anchors(pairs, self.heads, AnchorHistory(self.path / "log"), self.record, self.clock)

    def heads(self) -> Heads:
        return Heads(self.path / "log", trust_in(self.path))

    def record(self, record: Mapping[str, Json]) -> int:
        [receipt] = self.log.writer.write([record])
        self.log.writer.sign_head()
        assert not isinstance(receipt, Exception)
        return receipt.seq

    def happens(self) -> None:
        self.log.writer.write(exchange("one"))
        self.log.writer.sign_head()

    def turn(self) -> None:
        for runner in self.all._runners:
            runner.turn()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path, Scripted(), Scripted())
    site.happens()
    return site


def test_a_success_is_a_line_and_a_record(site: Site) -> None:
    site.turn()
    assert site.anchors[0].sizes == [4]
    last = AnchorHistory(site.path / "log").recent().last
    assert {name: one.size for name, one in last.items()} == {"a0": 4, "a1": 5}
    told = [record["anchor"] for record in records_in(site.path) if record["type"] == "checkpoint.anchor"]
    assert told == [{"kind": "file", "name": "a0", "size": 4}, {"kind": "file", "name": "a1", "size": 5}]
    site.log.close()


def test_records_of_anchors_alone_are_no_reason_to_anchor(site: Site) -> None:
    for _ in range(5):
        site.turn()
    assert [anchor.sizes for anchor in site.anchors] == [[4], [5]]
    site.happens()
    site.turn()
    site.turn()
    assert [len(anchor.sizes) for anchor in site.anchors] == [2, 2]
    site.log.close()


def test_while_nothing_happens_the_head_is_shown_now_and_then(tmp_path: Path) -> None:
    site = Site(tmp_path, Scripted(), max_age_s=3600)
    site.happens()
    site.turn()
    site.clock.late_s = 2000
    site.turn()
    assert len(site.anchors[0].sizes) == 2
    site.log.close()


def test_a_failure_is_logged_once_and_the_anchor_grows_old(tmp_path: Path) -> None:
    site = Site(tmp_path, Scripted(), max_age_s=3600)
    site.happens()
    site.turn()
    assert site.all.trouble() is None
    site.anchors[0].failure = AnchorError("anchor_unreachable", "no answer")
    site.happens()
    with capture_logs() as logs:
        site.clock.late_s = 3601
        for _ in range(3):
            site.turn()
    assert [(entry["event"], entry["log_level"]) for entry in logs if "anchor" in entry] == [
        ("anchor_failed", "warning")
    ]
    assert "anchor `a0` has had no success" in str(site.all.trouble())
    [standing] = site.all.standings()
    assert standing.problem == "anchor_unreachable"
    site.anchors[0].failure = None
    with capture_logs() as logs:
        site.turn()
    assert [entry["event"] for entry in logs if "anchor" in entry] == ["anchor_works_again"]
    assert site.all.trouble() is None
    site.log.close()


def test_an_anchor_grows_old_while_the_clock_is_set_back(tmp_path: Path) -> None:
    """Otherwise nobody would notice for a day, by a clock that is a day behind."""
    site = Site(tmp_path, Scripted(), max_age_s=3600)
    site.happens()
    site.turn()
    site.anchors[0].failure = AnchorError("anchor_unreachable", "no answer")
    site.clock.set_back_s = 86_400
    assert site.all.trouble() is None
    site.clock.late_s = 3601
    assert "anchor `a0` has had no success" in str(site.all.trouble())
    site.log.close()


def test_a_contradiction_is_an_error_in_the_log(site: Site) -> None:
    site.anchors[0].failure = AnchorError("anchor_fork", "another history")
    with capture_logs() as logs:
        site.turn()
    assert [entry["log_level"] for entry in logs if "anchor" in entry] == ["error"]
    assert site.anchors[1].sizes
    site.log.close()


@pytest.mark.parametrize("code", ["anchor_fork", "anchor_ahead"])
def test_a_contradiction_closes_the_door_at_once_where_the_operator_asked_for_it(tmp_path: Path, code: str) -> None:
    site = Site(tmp_path, Scripted(), max_age_s=3600)
    site.anchors[0].failure = AnchorError(code, "another history")
    site.turn()
    assert site.all.trouble() == f"anchor `a0` holds another history ({code})"
    site.log.close()


def test_a_bug_in_an_anchor_does_not_end_it(site: Site) -> None:
    site.anchors[0].failure = RuntimeError("user text")
    with capture_logs() as logs:
        site.turn()
    assert logs[0]["code"] == "anchor_crashed"
    assert "user text" not in str(logs)
    site.anchors[0].failure = None
    site.turn()
    assert site.anchors[0].sizes
    site.log.close()


def test_a_record_that_cannot_be_written_costs_no_anchor(site: Site) -> None:
    site.log.close()

    def full(_record: Mapping[str, Json]) -> int:
        raise RuntimeError("no room")

    site.record = full  # type: ignore[method-assign]
    site.all = site.made()
    with capture_logs() as logs:
        site.turn()
    assert [entry["event"] for entry in logs if "anchor" in entry] == ["anchor_not_recorded"] * 2
    assert AnchorHistory(site.path / "log").recent().last.keys() == {"a0", "a1"}


def test_no_record_names_a_line_that_is_not_there(site: Site) -> None:
    (site.path / "log/anchors.log").mkdir()
    with capture_logs() as logs:
        site.turn()
    assert [entry["event"] for entry in logs if "anchor" in entry] == ["anchor_not_listed"] * 2
    assert not [record for record in records_in(site.path) if record["type"] == "checkpoint.anchor"]
    assert all(standing.last for standing in site.all.standings())
    site.log.close()


def test_the_age_goes_on_over_a_restart(site: Site) -> None:
    hour_ago = time.time_ns() - 3600 * 10**9
    AnchorHistory(site.path / "log").append(Anchored("a0", "file", 1, "", hour_ago).line({}))
    ages = {one.settings.name: one.age_s for one in site.made().standings()}
    assert ages["a0"] == pytest.approx(3600, abs=5)
    assert ages["a1"] == pytest.approx(0, abs=5)
    site.log.close()


def test_the_age_of_an_anchor_that_fell_silent_long_ago_is_at_least_that_of_the_list(site: Site) -> None:
    hour_ago = time.time_ns() - 3600 * 10**9
    with (site.path / "log/anchors.log").open("wb") as file:
        while file.tell() <= TAIL:
            file.write(Anchored("a0", "file", 1, "", hour_ago).line({"note": "x" * 30_000}))
    ages = {one.settings.name: one.age_s for one in site.made().standings()}
    assert ages["a1"] == pytest.approx(3600, abs=5)
    site.log.close()


def test_threads_give_away_the_last_head_when_they_are_stopped(site: Site) -> None:
    lock = threading.Lock()
    record = site.record

    def one_at_a_time(one: Mapping[str, Json]) -> int:
        with lock:
            return record(one)

    site.record = one_at_a_time  # type: ignore[method-assign]
    everything = site.made()
    everything.start()
    until = time.monotonic() + 5
    while not all(anchor.sizes for anchor in site.anchors):
        assert time.monotonic() < until
        time.sleep(0.005)
    with lock:
        site.happens()
        size = site.log.writer.head[0]
    everything.stop()
    assert all(anchor.sizes[-1] >= size and anchor.closed.is_set() for anchor in site.anchors)
    site.log.close()
