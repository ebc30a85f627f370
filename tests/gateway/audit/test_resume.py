"""What a start knows of segments that it does not read, and when it reads them all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.epochs import EpochChain, load_chain
from gateway.audit.errors import AuditError, NoteError
from gateway.audit.resume import DIRECTORY, find, open_resume
from gateway.audit.seal import seal_path
from gateway.audit.segments import list_segments
from tests.gateway.audit.harness import (
    FixedClock,
    Opened,
    exchange,
    lines_in,
    opened,
    records_in,
    segments_in,
    trust_in,
    verified,
)

DAY = 86_400 * 10**9


def later() -> FixedClock:
    """The clock of a start long after."""
    return FixedClock(1_900_000_000 * 10**9, boot=5)


def grown(path: Path, days: int = 3) -> Opened:
    """A log of one segment each day, all written since one start, with an exchange open from the first on."""
    clock = FixedClock()
    log = opened(path, clock=clock, read_whole=0)
    log.writer.write([exchange("long")[0]])
    for day in range(days):
        log.writer.write(exchange(f"day-{day}"))
        log.writer.sign_head()
        clock.wall += DAY
        clock.mono += DAY
    log.writer.write([*exchange("last"), exchange("cut")[0]])
    log.writer.sign_head()
    return log


def chain_of(path: Path) -> EpochChain:
    return load_chain(path / "log", trust_in(path))


def skipped(path: Path, read_whole: int = 0) -> int:
    """How many segments the next start would not read."""
    found = find(path / "log", chain_of(path), list_segments(path / "log"), len(lines_in(path)), read_whole)
    return found[0] if found else 0


def restart(path: Path) -> None:
    log = opened(path, clock=later(), read_whole=0)
    log.writer.sign_head()
    log.writer.seal_segment()
    log.close()


def test_only_the_newest_segment_is_read_and_open_exchanges_are_known(tmp_path: Path) -> None:
    grown(tmp_path).close()
    assert (len(segments_in(tmp_path)), skipped(tmp_path)) == (4, 3)
    restart(tmp_path)
    orphans = [record["req"] for record in records_in(tmp_path) if record["type"] == "response.orphan"]
    assert sorted(orphans) == ["cut", "long"]
    report = verified(tmp_path)
    assert (report.exit, report.open_exchanges) == (0, [])
    # The next one begins where this one did, with nothing left to close.
    restart(tmp_path)
    assert verified(tmp_path).exit == 0
    assert sum(record["type"] == "response.orphan" for record in records_in(tmp_path)) == 2


def test_start_says_the_same_whether_it_reads_all_or_not(tmp_path: Path) -> None:
    logs = []
    for name, whole in (("quick", 0), ("whole", 1 << 40)):
        grown(tmp_path / name).close()
        log = opened(tmp_path / name, clock=later(), read_whole=whole)
        log.close()
        logs.append(lines_in(tmp_path / name))
    assert logs[0] == logs[1]


def test_small_log_is_read_whole(tmp_path: Path) -> None:
    grown(tmp_path).close()
    size = sum(file.stat().st_size for file in segments_in(tmp_path))
    assert (skipped(tmp_path, size), skipped(tmp_path, size - 1)) == (0, 3)


def test_head_before_the_newest_segment_is_compared_too(tmp_path: Path) -> None:
    """A crash right after a segment began, before its first head."""
    grown(tmp_path).close()
    newest = list_segments(tmp_path / "log")[-1].first
    found = find(tmp_path / "log", chain_of(tmp_path), list_segments(tmp_path / "log"), newest - 1, 0)
    assert found is not None
    assert found[0] == 2


def test_two_notes_are_kept(tmp_path: Path) -> None:
    grown(tmp_path).close()
    firsts = [segment.first for segment in list_segments(tmp_path / "log")]
    assert sorted(int(file.name) for file in (tmp_path / "log" / DIRECTORY).iterdir()) == firsts[-2:]


@pytest.mark.parametrize("damage", ["note", "cut", "seal", "no seal", "segment", "no segment", "size", "no note"])
def test_whatever_does_not_fit_makes_the_start_read_everything(tmp_path: Path, damage: str) -> None:
    grown(tmp_path).close()
    first, *_, newest = segments_in(tmp_path)
    note = tmp_path / "log" / DIRECTORY / newest.stem
    if damage == "note":
        note.write_bytes(note.read_bytes().replace(b"\nwall 1", b"\nwall 2"))
    elif damage == "cut":
        note.write_bytes(note.read_bytes()[:90])
    elif damage == "seal":
        seal_path(first).write_bytes(seal_path(first).read_bytes().replace(b"\nbytes ", b"\nbytes 1"))
    elif damage == "no seal":
        seal_path(first).unlink()
    elif damage == "size":
        first.write_bytes(first.read_bytes()[:-40])
    elif damage == "no segment":
        first.unlink()
    for file in (tmp_path / "log" / DIRECTORY).iterdir():
        if damage == "no note" or file != note:
            file.unlink()
    if damage == "segment":
        # The one thing that is not noticed here: the spot check and a verification read it.
        first.write_bytes(first.read_bytes().replace(b'"admit"', b'"amdit"', 1))
        assert skipped(tmp_path) == 3
        return
    assert skipped(tmp_path) == 0
    if damage in ("size", "no segment"):
        with pytest.raises(AuditError, match=r"complete line|starts with record"):
            restart(tmp_path)
    else:
        restart(tmp_path)


def test_history_that_is_missing_is_refused_with_a_note_as_without(tmp_path: Path) -> None:
    grown(tmp_path).close()
    newest = segments_in(tmp_path)[-1]
    newest.write_bytes(b"".join(newest.read_bytes().splitlines(keepends=True)[:1]))
    with pytest.raises(AuditError) as refused:
        restart(tmp_path)
    assert refused.value.code == "audit_rollback"


def test_bytes_altered_in_the_newest_segment_are_refused(tmp_path: Path) -> None:
    grown(tmp_path).close()
    newest = segments_in(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes().replace(b'"req":"last"', b'"req":"lost"', 1))
    with pytest.raises(AuditError) as refused:
        restart(tmp_path)
    assert refused.value.code == "audit_corrupt"


def test_note_of_another_log_or_form_is_refused(tmp_path: Path) -> None:
    log = grown(tmp_path)
    chain, sign = chain_of(tmp_path), log.writer.signing.signer.sign
    note = (tmp_path / "log" / DIRECTORY / segments_in(tmp_path)[-1].stem).read_bytes()
    text = note.decode().partition("\n\n")[0] + "\n"
    assert open_resume(sign(text), chain).text() == text
    size = next(line for line in text.splitlines() if line.startswith("size "))
    wrong = [
        (f"\n{chain.log_key.name}\n", "\nother\n"),
        (size, "size 0"),
        ("\npeaks ", "\npeaks AAAA "),
        ("\nopen {", "\nopen [{"),
    ]
    for old, new in wrong:
        with pytest.raises(NoteError):
            open_resume(sign(text.replace(old, new)), chain)
    log.close()


def test_disk_that_takes_no_note_takes_records(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / DIRECTORY).write_bytes(b"in the way")
    grown(tmp_path).close()
    assert skipped(tmp_path) == 0
    restart(tmp_path)
    assert verified(tmp_path).exit == 0
