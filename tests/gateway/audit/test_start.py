"""A start checks everything before it changes anything, and tells what it found before it goes on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gateway.audit.epochs import load_chain
from gateway.audit.errors import AuditError
from gateway.audit.seal import open_seal, seal_path
from tests.gateway.audit.harness import (
    FaultyFiles,
    FixedClock,
    exchange,
    opened,
    segments_in,
    small_log,
    trust_in,
    types_in,
    verified,
)

LATER = 1_900_000_000 * 10**9


def everything_in(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_refused_start_changes_nothing_on_disk(tmp_path: Path) -> None:
    small_log(tmp_path)
    first = segments_in(tmp_path)[0]
    first.write_bytes(first.read_bytes().replace(b'"released":7', b'"released":8', 1))
    before = everything_in(tmp_path)
    with pytest.raises(AuditError):
        opened(tmp_path, clock=FixedClock(LATER, boot=9), epoch_s=86_400)
    assert everything_in(tmp_path) == before


def test_what_was_found_comes_before_the_start(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.writer.write(exchange("a")[:1])
    log.writer.sign_head()
    log.close()
    with segments_in(tmp_path)[0].open("ab") as file:
        file.write(b'{"torn')
    opened(tmp_path, clock=FixedClock(LATER, boot=9), epoch_s=86_400).close()
    expected = ["gateway.start", "request.admit", "audit.recover", "response.orphan", "gateway.start"]
    assert types_in(tmp_path) == expected
    assert verified(tmp_path).finding is None


def test_a_start_seals_what_a_crash_left_open(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.writer.write(exchange("a"))
    log.writer.sign_head()
    log.close()
    [crashed] = segments_in(tmp_path)
    assert not seal_path(crashed).exists()
    opened(tmp_path, clock=FixedClock(LATER, boot=9)).close()
    seal, _ = open_seal(seal_path(crashed).read_bytes(), load_chain(tmp_path / "log", trust_in(tmp_path)))
    assert (seal.first, seal.last, seal.size) == (0, 3, crashed.stat().st_size)
    assert verified(tmp_path).finding is None


def test_the_new_segment_is_not_begun_before_the_seal_is_there(tmp_path: Path) -> None:
    opened(tmp_path).close()
    files = FaultyFiles(lambda _, name: 28 if name == "rename" else None)
    with pytest.raises(Exception, match="seal"):
        opened(tmp_path, files, FixedClock(LATER, boot=9))
    assert len(segments_in(tmp_path)) == 1
    opened(tmp_path, clock=FixedClock(LATER, boot=9)).close()
    assert len(segments_in(tmp_path)) == 2


class Died(BaseException):
    """The process is gone; nothing more happens."""


class DiesAtTheNextSegment(FaultyFiles):
    """One sync fails, and then no segment can be begun any more."""

    failed = False

    def datasync(self, descriptor: int) -> None:
        super().datasync(descriptor)
        if self.fault(0, "armed") and not self.failed:
            self.failed = True
            raise OSError(errno.EIO, "Input/output error")

    def open(self, path: Path, flags: int) -> int:
        if self.failed and path.suffix == ".jsonl":
            raise Died
        return super().open(path, flags)


def test_a_lost_segment_counts_as_far_as_its_seal_says_if_nothing_followed(tmp_path: Path) -> None:
    """The failed sync left whole lines behind the last counted one; the process dies before the next segment begins."""
    files = DiesAtTheNextSegment()
    log = opened(tmp_path, files)
    [lost] = segments_in(tmp_path)
    counted = lost.stat().st_size
    files.fault = lambda _, name: 1 if name == "armed" else None
    with pytest.raises(Died):
        log.writer.write(exchange("lost"))
    log.close()
    assert seal_path(lost).exists()
    assert lost.stat().st_size > counted
    opened(tmp_path, clock=FixedClock(LATER, boot=9)).close()
    assert lost.stat().st_size == counted
    assert lost.with_suffix(".torn").exists()
    assert types_in(tmp_path) == ["gateway.start", "audit.recover", "gateway.start"]
    report = verified(tmp_path)
    assert report.finding is None, report.finding


def test_a_seal_over_the_last_segment_that_does_not_fit_it_stops_the_start(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.writer.write(exchange("a"))
    log.writer.sign_head()
    log.writer.seal_segment()
    log.close()
    path = seal_path(segments_in(tmp_path)[0])
    path.write_bytes(path.read_bytes().replace(b"last 3", b"last 2"))
    with pytest.raises(AuditError, match="seal") as caught:
        opened(tmp_path, clock=FixedClock(LATER, boot=9))
    assert caught.value.code == "audit_corrupt"
