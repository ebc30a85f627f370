"""Lines found by their number, in logs that are in order and in logs that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.lookup import stored_line, stored_lines
from tests.gateway.audit.harness import FaultyFiles, exchange, lines_in, opened, segments_in, small_log


def test_stored_lines_are_those_that_count(tmp_path: Path) -> None:
    small_log(tmp_path)
    with segments_in(tmp_path)[-1].open("ab") as file:
        file.write(b'{"unfinished')
    assert list(stored_lines(tmp_path / "log")) == lines_in(tmp_path)[:28]


def test_every_line_is_found_by_its_number(tmp_path: Path) -> None:
    small_log(tmp_path)
    lines = lines_in(tmp_path)
    for number in range(len(lines)):
        assert stored_line(tmp_path / "log", number) == lines[number]
        assert list(stored_lines(tmp_path / "log", number)) == lines[number:]
    with pytest.raises(LookupError, match="record 28 is not"):
        stored_line(tmp_path / "log", 28)


def test_lines_behind_the_end_of_a_lost_segment_are_not_found(tmp_path: Path) -> None:
    """A sync fails: what was written with it is given out again in the next segment, under the same numbers."""
    small_log(tmp_path, exchanges=2, starts=1)
    files = FaultyFiles()
    log = opened(tmp_path, files)
    log.writer.write(exchange("kept"))
    failing = len(files.done) + 1
    files.fault = lambda at, name: 5 if at == failing and name == "datasync" else None
    log.writer.write([{"type": "auth.fail", "stage": "complete"}])
    files.fault = lambda at, name: None
    log.writer.write(exchange("later"))
    log.close()
    everything = list(stored_lines(tmp_path / "log"))
    assert sum(b'"segment_lost"' in line for line in everything) == 1
    assert len(lines_in(tmp_path)) > len(everything)
    assert [stored_line(tmp_path / "log", number) for number in range(len(everything))] == everything


def test_a_line_that_is_no_record_stops_the_search(tmp_path: Path) -> None:
    small_log(tmp_path, exchanges=3, starts=1)
    segment = segments_in(tmp_path)[0]
    segment.write_bytes(segment.read_bytes().replace(b'"seq"', b'"sec"'))
    with pytest.raises(LookupError):
        stored_line(tmp_path / "log", 5)


def test_a_log_whose_beginning_is_gone_is_said_so(tmp_path: Path) -> None:
    small_log(tmp_path)
    segments_in(tmp_path)[0].unlink()
    with pytest.raises(LookupError, match="no segment holds record 3"):
        stored_line(tmp_path / "log", 3)
