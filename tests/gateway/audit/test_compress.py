"""Segments that are compressed: every reader sees the same log, and whatever happens meanwhile it verifies."""

from __future__ import annotations

import time
from base64 import b64decode
from contextlib import closing
from pathlib import Path

import pytest

from gateway.audit.compress import Compressor, Packed, compress_older
from gateway.audit.epochs import load_chain
from gateway.audit.errors import AuditError, PackedError
from gateway.audit.files import Files, OsFiles
from gateway.audit.index import open_index, read_line
from gateway.audit.lookup import stored_line, stored_lines
from gateway.audit.seal import seal_path
from gateway.audit.segments import list_segments
from gateway.audit.sinks.local import LocalLog
from gateway.audit.sinks.position import START
from gateway.audit.spot_check import spot_check
from gateway.audit.tile_cache import rebuild
from gateway.audit.verify import verify
from tests.gateway.audit.harness import ORIGIN, FaultyFiles, nth, opened, small_log, trust_in, verified
from tests.gateway.audit.test_resume import grown, later

ALL = 1 << 62


def log_in(path: Path) -> list[bytes]:
    """A log of five segments, at rest; its lines."""
    log = grown(path)
    log.writer.seal_segment()
    log.close()
    return list(stored_lines(path / "log"))


def compress(path: Path, before_ns: int = ALL, files: Files | None = None) -> list[Packed]:
    chain = load_chain(path / "log", trust_in(path))
    return list(compress_older(path / "log", chain, before_ns, files or OsFiles()))


def names(path: Path) -> list[str]:
    return sorted(file.name.partition(".")[2] for file in (path / "log" / "seg").iterdir() if ".jsonl" in file.name)


def test_every_reader_sees_the_same_log(tmp_path: Path) -> None:
    lines = log_in(tmp_path)
    before = verified(tmp_path)
    assert [packed.problem for packed in compress(tmp_path)] == [""] * 3
    assert names(tmp_path) == ["jsonl", *["jsonl.zst"] * 3]
    assert compress(tmp_path) == []
    log = tmp_path / "log"
    assert verified(tmp_path).as_json() == before.as_json()
    assert verify(log, trust_in(tmp_path), jobs=2, chunk_bytes=300).as_json() == before.as_json()
    assert list(stored_lines(log)) == lines
    assert [stored_line(log, number) for number in range(len(lines))] == lines
    assert list(stored_lines(log, 5)) == lines[5:]
    with closing(open_index(tmp_path / "index", log)) as index:
        places = index.execute("SELECT segment, offset FROM record ORDER BY seq").fetchall()
    assert [read_line(log, *place) for place in places] == lines
    head = verified(tmp_path)
    assert rebuild(log, head.records, b64decode(head.root), lambda: None) == 0
    told = spot_check(log, load_chain(log, trust_in(tmp_path)), 1 << 40, lambda closed: closed[0])
    assert told is not None
    assert told["verify"] == {"scope": "segment", "first": 0, "outcome": "ok"}


def test_sinks_read_what_was_compressed(tmp_path: Path) -> None:
    lines = log_in(tmp_path)
    compress(tmp_path)
    local, at, held = LocalLog(tmp_path / "log", ORIGIN), START, []
    while (piece := local.piece(at, len(lines), 200)) is not None:
        held += [line.rstrip(b"\n") for line in piece.lines]
        at = piece.end
    assert held == lines
    assert sum(local.segments().values()) == sum(len(line) + 1 for line in lines)
    assert local.position(3).seq == 3


def test_start_goes_on_after_what_was_compressed(tmp_path: Path) -> None:
    lines = log_in(tmp_path)
    compress(tmp_path)
    for whole in (0, ALL):
        log = opened(tmp_path, clock=later(), read_whole=whole)
        log.writer.sign_head()
        log.writer.seal_segment()
        log.close()
        assert verified(tmp_path).exit == 0
    assert list(stored_lines(tmp_path / "log"))[: len(lines)] == lines


def test_newest_segment_that_was_compressed_is_left_as_it_is(tmp_path: Path) -> None:
    """Nothing does that here; somebody may with other tools."""
    log_in(tmp_path)
    compress(tmp_path)
    newest = list_segments(tmp_path / "log")[-1].path
    for end in ("jsonl", "seal"):
        newest.with_suffix(f".{end}").unlink()
    with pytest.raises(AuditError) as refused:
        opened(tmp_path, clock=later(), read_whole=0)
    assert refused.value.code == "audit_rollback"


def test_only_what_is_old_enough_is_compressed(tmp_path: Path) -> None:
    log_in(tmp_path)
    chain = load_chain(tmp_path / "log", trust_in(tmp_path))
    assert list(compress_older(tmp_path / "log", chain, 0, OsFiles())) == []
    Compressor(tmp_path / "log", trust_in(tmp_path), 1e12, OsFiles()).turn()
    assert names(tmp_path) == ["jsonl"] * 4


def test_gateway_compresses_beside_its_work(tmp_path: Path) -> None:
    log_in(tmp_path)
    compressor = Compressor(tmp_path / "log", trust_in(tmp_path), -1e9, OsFiles())
    compressor.upkeep.start()
    for _ in range(200):
        if names(tmp_path) == ["jsonl", *["jsonl.zst"] * 3]:
            break
        time.sleep(0.05)
    compressor.upkeep.stop()
    assert verified(tmp_path).exit == 0
    assert names(tmp_path) == ["jsonl", *["jsonl.zst"] * 3]


def test_segment_that_is_not_what_its_seal_says_stays(tmp_path: Path) -> None:
    log_in(tmp_path)
    first, second, third, _ = list_segments(tmp_path / "log")
    first.path.write_bytes(first.path.read_bytes().replace(b'"admit"', b'"amdit"', 1))
    seal_path(second.path).unlink()
    seal_path(third.path).write_bytes(seal_path(third.path).read_bytes().replace(b"\nlast ", b"\nlast 1"))
    assert all(packed.problem for packed in compress(tmp_path))
    assert names(tmp_path) == ["jsonl"] * 4
    Compressor(tmp_path / "log", trust_in(tmp_path), -1e9, OsFiles()).turn()
    assert names(tmp_path) == ["jsonl"] * 4


def test_segment_with_more_than_its_seal_says_stays(tmp_path: Path) -> None:
    """What somebody added is evidence: compressing only what the seal speaks of would make it go away."""
    log_in(tmp_path)
    first = list_segments(tmp_path / "log")[0].path
    with first.open("ab") as file:
        file.write(b'{"added":"later"}\n')
    held = first.read_bytes()
    problems = [packed.problem for packed in compress(tmp_path)]
    assert problems == ["it is not what its seal says: other records or bytes", "", ""]
    assert first.read_bytes() == held


def test_log_without_seals_is_left_as_it_is(tmp_path: Path) -> None:
    small_log(tmp_path, version=1)
    assert compress(tmp_path) == []


@pytest.mark.parametrize("number", range(16))
def test_log_verifies_wherever_compressing_ends(tmp_path: Path, number: int) -> None:
    """Killed before any operation on a file: what is there is the log, and the next time goes on."""
    lines = log_in(tmp_path)
    try:
        compress(tmp_path, files=FaultyFiles(fault=nth(number)))
    except OSError:
        assert verified(tmp_path).exit == 0
        assert list(stored_lines(tmp_path / "log")) == lines
    compress(tmp_path)
    assert names(tmp_path) == ["jsonl", *["jsonl.zst"] * 3]
    assert verified(tmp_path).exit == 0


class Killed(FaultyFiles):
    """Once something failed nothing works, not even cleaning up."""

    def _pass(self, name: str) -> None:
        if "dead" in self.done:
            raise OSError(5, "dead")
        try:
            super()._pass(name)
        except OSError:
            self.done.append("dead")
            raise


@pytest.mark.parametrize("number", range(8))
def test_log_verifies_whatever_a_killed_process_leaves(tmp_path: Path, number: int) -> None:
    lines = log_in(tmp_path)
    with pytest.raises(OSError, match=r"dead|error"):
        compress(tmp_path, files=Killed(fault=nth(number)))
    assert verified(tmp_path).exit == 0
    assert list(stored_lines(tmp_path / "log")) == lines
    compress(tmp_path)
    assert verified(tmp_path).exit == 0
    assert names(tmp_path) == ["jsonl", *["jsonl.zst"] * 3]


class Spoiled(OsFiles):
    """A disk that keeps something else than it was given."""

    def rename(self, old: Path, new: Path) -> None:
        old.write_bytes(old.read_bytes()[:-9] + b"something")
        super().rename(old, new)


def test_what_is_not_read_back_as_it_was_written_is_not_kept(tmp_path: Path) -> None:
    log_in(tmp_path)
    assert all("it is not what" in packed.problem for packed in compress(tmp_path, files=Spoiled()))
    assert verified(tmp_path).exit == 0


def test_both_verifiers_say_the_same_of_every_changed_byte(tmp_path: Path) -> None:
    """A changed byte is named, but where it changes nothing of what comes out."""
    log_in(tmp_path)
    compress(tmp_path)
    target = list_segments(tmp_path / "log")[1].path
    data = target.read_bytes()
    harmless = []
    for at in [*range(12), *range(12, len(data), 23), *range(len(data) - 5, len(data))]:
        broken = bytearray(data)
        broken[at] ^= 1 << at % 8
        target.write_bytes(broken)
        report = verified(tmp_path)
        if report.finding is None:
            harmless.append(at)
        else:
            assert (report.exit, report.finding.code, report.records) == (
                2,
                "packed",
                list_segments(tmp_path / "log")[1].first,
            )
    assert len(harmless) <= 1
    for wrong in (b"", data[:-3], data + b"more", data * 2):
        target.write_bytes(wrong)
        assert verified(tmp_path).exit == 2


@pytest.mark.parametrize("damage", ["no seal", "other seal", "missing"])
def test_compressed_segment_needs_its_seal(tmp_path: Path, damage: str) -> None:
    log_in(tmp_path)
    compress(tmp_path)
    first, second, *_ = list_segments(tmp_path / "log")
    if damage == "no seal":
        seal_path(first.path).unlink()
    elif damage == "other seal":
        seal_path(first.path).write_bytes(seal_path(second.path).read_bytes())
    else:
        first.path.unlink()
    assert verified(tmp_path).exit in (2, 4)


def test_error_names_the_file() -> None:
    error = PackedError(Path("seg/1.jsonl.zst"), "is not a row of Zstandard frames")
    assert (error.filename, error.strerror) == ("seg/1.jsonl.zst", "is not a row of Zstandard frames")
