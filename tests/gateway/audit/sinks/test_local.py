"""What the sinks are given: durable lines as they are stored, across segments, and nothing else."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from gateway.audit.merkle import leaf_hash
from gateway.audit.sinks.errors import SinkConflict
from gateway.audit.sinks.local import LocalLog, covered_by_heads, covered_by_seal
from gateway.audit.sinks.position import START, Position
from tests.gateway.audit.harness import (
    ORIGIN,
    FaultyFiles,
    exchange,
    lines_in,
    opened,
    put_test_key,
    segments_in,
    small_log,
)


def log_in(path: Path) -> LocalLog:
    return LocalLog(path / "log", ORIGIN)


def everything(local: LocalLog, durable: int, most_bytes: int = 1 << 20) -> list[bytes]:
    at, lines = START, list[bytes]()
    while (piece := local.piece(at, durable, most_bytes)) is not None:
        assert list(piece.leaves) == [leaf_hash(line[:-1]) for line in piece.lines]
        lines += piece.lines
        at = piece.end
    return lines


@pytest.mark.parametrize("most_bytes", [1, 700, 1 << 20])
def test_every_durable_line_in_order_whatever_the_size_of_a_piece(tmp_path: Path, most_bytes: int) -> None:
    small_log(tmp_path, starts=3)
    stored = [line + b"\n" for line in lines_in(tmp_path)]
    for durable in (0, 1, 9, len(stored)):
        assert everything(log_in(tmp_path), durable, most_bytes) == stored[:durable]


class LosesOne(FaultyFiles):
    """The first sync after it is told so fails, and leaves the bytes where they are."""

    losing = False

    def datasync(self, descriptor: int) -> None:
        if self.losing:
            self.losing = False
            raise OSError(errno.EIO, "lost")
        super().datasync(descriptor)


def test_lines_of_a_lost_segment_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    """They are complete, and may even be on disk; their numbers were given out again."""
    put_test_key(tmp_path)
    disk = LosesOne()
    log = opened(tmp_path, disk)
    log.writer.write(exchange("counts"))  # type: ignore[arg-type]
    disk.losing = True
    log.writer.write(exchange("again"))  # type: ignore[arg-type]
    durable = log.writer.head[0]
    log.close()
    lines = everything(log_in(tmp_path), durable)
    assert len(lines) == durable < len(lines_in(tmp_path))
    assert [json.loads(line)["seq"] for line in lines] == list(range(durable))


def test_line_that_does_not_follow_is_not_given_out(tmp_path: Path) -> None:
    small_log(tmp_path)
    segment = segments_in(tmp_path)[0]
    segment.write_bytes(segment.read_bytes().replace(b'"req":"0-1"', b'"req":"0-X"', 1))
    with pytest.raises(SinkConflict, match="is not what it was"):
        everything(log_in(tmp_path), len(lines_in(tmp_path)))


def test_segment_that_became_shorter_is_told(tmp_path: Path) -> None:
    small_log(tmp_path, starts=1)
    count = len(lines_in(tmp_path))
    segment = segments_in(tmp_path)[0]
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(SinkConflict, match="ends before record"):
        everything(log_in(tmp_path), count)


def test_position_of_any_record_can_be_found_again(tmp_path: Path) -> None:
    small_log(tmp_path, starts=3)
    local, at, durable = log_in(tmp_path), START, len(lines_in(tmp_path))
    while (piece := local.piece(at, durable, 1)) is not None:
        at = piece.end
        assert local.position(at.seq) == at
    assert local.position(0) == START
    with pytest.raises(SinkConflict, match="history is missing"):
        local.position(durable + 1)


def test_newest_segment_is_where_a_sink_begins_that_wants_no_history(tmp_path: Path) -> None:
    small_log(tmp_path, starts=2)
    begin = log_in(tmp_path).newest_segment()
    assert begin == Position(begin.seq, 0, begin.seq, log_in(tmp_path).position(begin.seq).leaf)
    assert f"{begin.seq:016d}" == segments_in(tmp_path)[-1].stem


def test_growing_files_are_read_up_to_their_last_whole_entry(tmp_path: Path) -> None:
    small_log(tmp_path)
    history = tmp_path / "log" / "checkpoints.log"
    whole = history.read_bytes()
    history.write_bytes(whole + b"test/one/audit\n99\n")
    (tmp_path / "log" / "anchors.log").write_bytes(b'{"a":1}\n{"b"')
    local = log_in(tmp_path)
    assert local.history("checkpoints.log", 0) == whole
    assert local.history("anchors.log", 0) == b'{"a":1}\n'
    assert local.history_end("checkpoints.log") == len(whole)
    assert local.history_end("missing") == 0
    assert local.history("missing", 0) == b""
    with pytest.raises(SinkConflict, match="less than"):
        local.history("anchors.log", 1000)


def test_heads_and_seals_say_what_has_to_be_there_before_them(tmp_path: Path) -> None:
    small_log(tmp_path)
    history = (tmp_path / "log" / "checkpoints.log").read_bytes()
    assert covered_by_heads({"checkpoints.log": history}) == len(lines_in(tmp_path))
    assert covered_by_heads({}) == 0
    seal = b"gatehouse-audit-seal/v1\no\nfirst 3\nlast 41\nroot x\n"
    assert covered_by_seal("seg/0000000000000003.seal", seal) == 42
    assert covered_by_seal("LOG", seal) == 0
