"""Starting again after a crash: what is mended, and what is refused."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.audit.errors import AuditError
from tests.gateway.audit.harness import (
    FixedClock,
    exchange,
    opened,
    records_in,
    segments_in,
    small_log,
    types_in,
    verified,
)

LATER = 1_900_000_000 * 10**9


def restart(path: Path) -> None:
    log = opened(path, clock=FixedClock(LATER, boot=9))
    log.writer.sign_head()
    log.close()


def test_torn_line_is_set_aside_and_told(tmp_path: Path) -> None:
    small_log(tmp_path)
    last = segments_in(tmp_path)[-1]
    torn = b'{"boot":"0000'
    with last.open("ab") as file:
        file.write(torn)
    restart(tmp_path)
    assert last.with_suffix(".torn").read_bytes() == torn
    [told] = [record for record in records_in(tmp_path) if record["type"] == "audit.recover"]
    assert told["recover"] == {"first": int(last.stem), "torn_bytes": 13, "sha256": sha256(torn).hexdigest()}
    assert verified(tmp_path).exit == 0


def test_batch_cut_anywhere_after_the_last_checkpoint_is_mended(tmp_path: Path) -> None:
    """Whole lines of an unfinished batch stay, as nobody can tell them from promised ones; the rest goes."""
    small_log(tmp_path, exchanges=1)
    log = opened(tmp_path, clock=FixedClock(LATER - 10**18))
    signed = segments_in(tmp_path)[-1].stat().st_size
    log.writer.write([*exchange("x"), *exchange("y")])
    log.close()
    last = segments_in(tmp_path)[-1]
    whole = last.read_bytes()
    for cut in range(signed, len(whole), 61):
        last.write_bytes(whole[:cut])
        restart(tmp_path)
        assert verified(tmp_path).exit == 0
        assert verified(tmp_path).open_exchanges == []
        for file in (tmp_path / "log" / "seg").iterdir():
            if file.name > last.name:
                file.unlink()
        for name in ("checkpoint", "checkpoints.log"):
            (tmp_path / "log" / name).unlink()
        # Without the newer heads the log is again as it was after the crash.
        last.write_bytes(whole)


@pytest.mark.parametrize("hole", [b"\0" * 500, b"\0" * 40_000, b"\0\0\n\0", b"\0" * 30 + b'ng":1}\n{"a":1}\n'])
def test_hole_that_a_power_cut_leaves_is_set_aside(tmp_path: Path, hole: bytes) -> None:
    small_log(tmp_path)
    last = segments_in(tmp_path)[-1]
    with last.open("ab") as file:
        file.write(hole)
    restart(tmp_path)
    assert last.with_suffix(".torn").read_bytes() == hole
    assert verified(tmp_path).exit == 0


@pytest.mark.parametrize("data", [b"", b'{"torn', b"\0\0\0\0", b"\0\0\n{}\n"])
def test_segment_in_which_nothing_was_completed_is_removed(tmp_path: Path, data: bytes) -> None:
    small_log(tmp_path)
    size = len(records_in(tmp_path))
    (tmp_path / "log" / "seg" / f"{size:016d}.jsonl").write_bytes(data)
    restart(tmp_path)
    assert len(records_in(tmp_path)) == size + (2 if data else 1)
    assert verified(tmp_path).exit == 0


def test_complete_line_that_does_not_follow_is_refused_by_file_and_line(tmp_path: Path) -> None:
    small_log(tmp_path)
    last = segments_in(tmp_path)[-1]
    count = len(last.read_bytes().splitlines())
    for line in (b"{}\n", b"not json\n", last.read_bytes().splitlines()[-1] + b"\n"):
        whole = last.read_bytes()
        last.write_bytes(whole + line)
        with pytest.raises(AuditError, match=f"{last.name}` line {count + 1}") as caught:
            restart(tmp_path)
        assert caught.value.code == "audit_corrupt"
        assert last.read_bytes() == whole + line
        last.write_bytes(whole)


def test_changed_line_under_a_signed_head_is_refused_by_file_and_line(tmp_path: Path) -> None:
    small_log(tmp_path)
    first = segments_in(tmp_path)[0]
    first.write_bytes(first.read_bytes().replace(b'"req":"0-2"', b'"req":"0-9"', 1))
    with pytest.raises(AuditError, match=f"{first.name}` line 9") as caught:
        restart(tmp_path)
    assert caught.value.code == "audit_corrupt"


@pytest.mark.parametrize("loss", ["line", "segment", "everything"])
def test_missing_signed_history_is_refused_as_rollback(tmp_path: Path, loss: str) -> None:
    small_log(tmp_path)
    for segment in segments_in(tmp_path)[0 if loss == "everything" else -1 :]:
        if loss == "line":
            lines = segment.read_bytes().splitlines(keepends=True)
            segment.write_bytes(b"".join(lines[:-1]))
        else:
            segment.unlink()
    with pytest.raises(AuditError, match="history is missing") as caught:
        restart(tmp_path)
    assert caught.value.code == "audit_rollback"


def test_missing_segment_in_the_middle_is_refused(tmp_path: Path) -> None:
    small_log(tmp_path, starts=3)
    segments_in(tmp_path)[1].unlink()
    with pytest.raises(AuditError) as caught:
        restart(tmp_path)
    assert caught.value.code == "audit_corrupt"


def test_nothing_is_mended_before_everything_was_checked(tmp_path: Path) -> None:
    small_log(tmp_path)
    first, last = segments_in(tmp_path)
    with last.open("ab") as file:
        file.write(b'{"torn')
    first.write_bytes(first.read_bytes().replace(b'"req":"0-2"', b'"req":"0-9"', 1))
    before = {file: file.read_bytes() for file in (tmp_path / "log" / "seg").iterdir()}
    with pytest.raises(AuditError):
        restart(tmp_path)
    assert {file: file.read_bytes() for file in (tmp_path / "log" / "seg").iterdir()} == before


def test_exchanges_that_the_crash_cut_off_are_closed_with_what_may_have_left(tmp_path: Path) -> None:
    log = opened(tmp_path)
    admit, progress, complete = exchange("a")
    log.writer.write([{**admit, "tenant": "t", "app": "p"}, progress])
    log.writer.write([{**record, "req": "b"} for record in (admit, progress, complete)])
    log.writer.write([{**admit, "req": "c"}, {**admit, "req": "d"}, {"type": "request.refuse", "req": "d"}])
    log.close()
    restart(tmp_path)
    orphans = [record for record in records_in(tmp_path) if record["type"] == "response.orphan"]
    assert [(orphan["req"], orphan.get("tenant"), orphan["stream"]) for orphan in orphans] == [
        ("a", "t", {"released_max": 9, "progress_seq": 2, "ended_by": "crash"}),
        ("c", None, {"released_max": 0, "ended_by": "crash"}),
    ]
    assert types_in(tmp_path)[-1] == "gateway.start"
    restart(tmp_path)
    assert len([kind for kind in types_in(tmp_path) if kind == "response.orphan"]) == 2
    assert verified(tmp_path).exit == 0


def test_reviews_that_the_crash_cut_off_are_closed_once(tmp_path: Path) -> None:
    log = opened(tmp_path)
    record = {"req": "a", "tenant": "t", "app": "p", "stage": "progress"}
    log.writer.write([record | {"type": "review.open", "review": {"id": name, "rules": []}} for name in ("v1", "v2")])
    log.writer.write([record | {"type": "review.close", "review": {"id": "v1", "outcome": "approved"}}])
    log.close()
    restart(tmp_path)
    restart(tmp_path)
    closed = [record["review"] for record in records_in(tmp_path) if record["type"] == "review.close"]
    assert closed == [
        {"id": "v1", "outcome": "approved"},
        {"id": "v2", "rules": [], "outcome": "abandoned", "why": "crash"},
    ]
    assert verified(tmp_path).exit == 0


def test_start_that_died_while_closing_orphans_is_finished_by_the_next(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.writer.write([exchange(name)[0] for name in ("a", "b", "c")])
    log.writer.sign_head()
    log.close()
    again = opened(tmp_path, clock=FixedClock(LATER, boot=5))
    again.close()
    last = segments_in(tmp_path)[-1]
    first_orphan, second_orphan, *_ = last.read_bytes().splitlines(keepends=True)
    assert json.loads(first_orphan)["req"] == "a"
    last.write_bytes(first_orphan + second_orphan[:30])
    _forget_last_head(tmp_path)
    restart(tmp_path)
    orphans = [record["req"] for record in records_in(tmp_path) if record["type"] == "response.orphan"]
    assert orphans == ["a", "b", "c"]
    assert verified(tmp_path).exit == 0


def _forget_last_head(path: Path) -> None:
    """As if the machine had stopped before the last checkpoint was written."""
    history = path / "log" / "checkpoints.log"
    notes = history.read_bytes().split(b"\n\ntest/one/audit\n")
    kept = b"\n\ntest/one/audit\n".join(notes[:-1])
    history.write_bytes(kept + b"\n\n")
    (path / "log" / "checkpoint").write_bytes(b"test/one/audit\n" + notes[-2] + b"\n")
