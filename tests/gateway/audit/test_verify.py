"""The verifier against an attacker who has the disk: whatever is changed is found, and named.

Every third byte is changed; `GATEHOUSE_EVERY_BYTE=1` changes every single one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.audit.errors import TrustError
from gateway.audit.files import OsFiles
from gateway.audit.keys import load_signer
from gateway.audit.merkle import Tree, leaf_hash
from gateway.audit.note import Checkpoint, VerifierKey
from gateway.audit.record import canonical
from gateway.audit.report import Exit, Report
from gateway.audit.seal import Seal
from gateway.audit.verify import load_trust, verify
from gateway.audit.writer import b64
from tests.gateway.audit.harness import (
    ORIGIN,
    FixedClock,
    begin_version_1,
    exchange,
    opened,
    put_test_key,
    segments_in,
    signer_in,
    small_log,
    trust_in,
    verified,
)

EVERY_BYTE = bool(os.environ.get("GATEHOUSE_EVERY_BYTE"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 records in two segments."""
    path = tmp_path_factory.mktemp("whole")
    small_log(path, exchanges=4, starts=2)
    log = opened(path, clock=FixedClock(1_900_000_000 * 10**9, boot=9))
    log.writer.write([{"type": "auth.fail"}])
    log.writer.sign_head()
    log.close()
    assert verified(path).records == 30
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_whole_log_is_proved_and_the_statement_says_on_what_it_rests(whole: Path) -> None:
    report = verified(whole)
    assert (report.exit, report.finding, report.open_exchanges) == (Exit.PROVED, None, [])
    assert (report.signed, report.segments, report.checkpoints) == (30, 3, 6)
    assert report.statement.startswith("30 records, sizes 0 to 30, in 3 segments; signed up to size 30 at 2030-")
    assert "could have replaced the whole log" in report.statement


def test_every_changed_byte_is_found(copy: Path) -> None:
    key, log = trust_in(copy), copy / "log"
    for file in (log / "LOG", log / "checkpoint", log / "checkpoints.log", *segments_in(copy)):
        data = file.read_bytes()
        with file.open("r+b", buffering=0) as out:
            for at, byte in enumerate(data):
                if at % 3 and not EVERY_BYTE:
                    continue
                out.seek(at)
                out.write(bytes([byte ^ 1 << at % 8]))
                report = verify(log, key)
                assert report.exit >= Exit.ALTERED, f"{file.name} byte {at}"
                if file in segments_in(copy):
                    _names_place(report, file, data, at)
                out.seek(at)
                out.write(bytes([byte]))
    assert verify(log, key).exit is Exit.PROVED


def _names_place(report: Report, file: Path, data: bytes, at: int) -> None:
    """The changed line is named, or the next one if only its link shows the change."""
    finding = report.finding
    assert finding is not None
    line = data.count(b"\n", 0, at) + 1
    first = int(file.stem)
    if finding.code == "checkpoint_root":
        assert finding.seq is not None
        assert finding.seq >= first + line - 1
    elif finding.code != "rollback":
        assert finding.seq in (first + line - 1, first + line)


def test_every_deleted_duplicated_or_swapped_line_is_found(copy: Path) -> None:
    key = trust_in(copy)
    for file in segments_in(copy):
        data = file.read_bytes()
        lines = data.splitlines(keepends=True)
        for at in range(len(lines)):
            deleted = lines[:at] + lines[at + 1 :]
            doubled = [*lines[: at + 1], *lines[at:]]
            swapped = [*lines[:at], *lines[at : at + 2][::-1], *lines[at + 2 :]]
            for changed in (deleted, doubled, swapped):
                if changed != lines:
                    file.write_bytes(b"".join(changed))
                    assert verify(copy / "log", key).exit >= Exit.ALTERED
        file.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "expected", "code"),
    [
        ("LOG", Exit.INCOMPLETE, "log_note"),
        ("checkpoint", Exit.INCOMPLETE, "checkpoint"),
        ("checkpoints.log", Exit.INCOMPLETE, "checkpoint_missing"),
        ("seg/0000000000000000.jsonl", Exit.INCOMPLETE, "segment_missing"),
        ("seg/0000000000000014.jsonl", Exit.INCOMPLETE, "segment_missing"),
        ("seg/0000000000000028.jsonl", Exit.ROLLBACK, "rollback"),
    ],
)
def test_every_missing_file_is_found(copy: Path, name: str, expected: Exit, code: str) -> None:
    (copy / "log" / name).unlink()
    report = verified(copy)
    assert report.finding is not None
    assert (report.exit, report.finding.code) == (expected, code)


def test_older_state_of_the_records_under_newer_heads_is_a_rollback(copy: Path) -> None:
    segment = segments_in(copy)[-1]
    segment.write_bytes(segment.read_bytes().splitlines(keepends=True)[0])
    report = verified(copy)
    assert report.exit is Exit.ROLLBACK
    assert "expected 30 records, as signed in note 6, found 29" in str(report.finding)


def test_trust_is_the_callers_and_never_the_logs(copy: Path, tmp_path: Path) -> None:
    small_log(tmp_path / "other", exchanges=1)
    other = VerifierKey(ORIGIN, bytes(32))
    assert verify(copy / "log", other).exit is Exit.USAGE
    (tmp_path / "bad.vkey").write_text("nonsense")
    for path in (tmp_path / "bad.vkey", tmp_path / "missing.vkey"):
        with pytest.raises(TrustError):
            load_trust(path)


class Forger:
    """Rewrites a log with the real key: links, hashes and signatures hold, so only the rules can find it out."""

    def __init__(self, path: Path, records: list[dict[str, object]]) -> None:
        put_test_key(path)
        begin_version_1(path, FixedClock())
        opened(path).close()
        signer = load_signer(path / "keys" / "audit.pem", ORIGIN, OsFiles())
        tree, leaf, lines = Tree(), bytes(32), []
        for seq, record in enumerate(records):
            base = {"v": 1, "origin": ORIGIN, "seq": seq, "prev": b64(leaf), "boot": "b", "ts": str(seq), "mono": "7"}
            line = canonical({**base, **record})
            leaf = leaf_hash(line)
            tree.push(leaf)
            lines.append(line + b"\n")
        segments_in(path)[0].write_bytes(b"".join(lines))
        note = signer.sign(Checkpoint(ORIGIN, tree.size, tree.root(), 5).text())
        (path / "log" / "checkpoint").write_bytes(note)
        (path / "log" / "checkpoints.log").write_bytes(note + b"\n")


START = {"type": "gateway.start"}
ADMIT, PROGRESS, COMPLETE = exchange("r")
GAP = {"parts": 2, "parts_scanned": 1, "bytes": 9, "bytes_scanned": 9, "uncovered": []}


def test_forger_makes_logs_that_hold(tmp_path: Path) -> None:
    Forger(tmp_path, [START, ADMIT, PROGRESS, COMPLETE, START])
    assert verified(tmp_path).exit is Exit.PROVED


@pytest.mark.parametrize(
    ("records", "code", "seq"),
    [
        ([START, {**START, "v": 2}], "version", 1),
        ([START, {**START, "origin": "test/two/audit"}], "origin", 1),
        ([START, {**START, "ts": 5}], "fields", 1),
        ([START, {**START, "ts": "-5"}], "fields", 1),
        ([START, {**START, "seq": "1"}], "fields", 1),
        ([START, {**START, "seq": 2}], "sequence", 1),
        ([START, START, {**START, "ts": "0"}], "time", 2),
        ([START, START, {**START, "mono": "6"}], "time", 2),
        ([START, PROGRESS], "pairing", 1),
        ([START, COMPLETE], "pairing", 1),
        ([START, ADMIT, COMPLETE, COMPLETE], "pairing", 3),
        ([START, ADMIT, ADMIT], "pairing", 2),
        ([START, ADMIT, START], "pairing", 2),
        ([START, {"type": "request.admit"}], "pairing", 1),
        ([START, {**ADMIT, "coverage": GAP}], "coverage", 1),
        ([START, {**ADMIT, "coverage": {**GAP, "parts_scanned": 2, "bytes_scanned": 8}}], "coverage", 1),
        ([START, {**ADMIT, "coverage": {**GAP, "parts_scanned": 2, "uncovered": ["/messages/0"]}}], "coverage", 1),
        ([START, {**ADMIT, "coverage": "all"}], "coverage", 1),
        ([START, {**ADMIT, "coverage": {}}], "coverage", 1),
        ([START, {**ADMIT, "coverage": {**GAP, "parts_exempt": 2}}], "coverage", 1),
        ([START, {**ADMIT, "coverage": {**GAP, "parts_exempt": 1, "bytes_exempt": 1}}], "coverage", 1),
        ([START, {**ADMIT, "coverage": {**GAP, "parts_exempt": True}}], "coverage", 1),
        ([START, {**ADMIT, "coverage": {**GAP, "parts_scanned": 3, "parts_exempt": -1}}], "coverage", 1),
        ([START, {**START, "continues": {"first": 0, "offset": 3}}], "continues", 1),
        ([{**START, "continues": {"first": 9, "offset": 3}}], "continues", 0),
    ],
)
def test_rules_hold_even_against_the_key_holder(
    tmp_path: Path, records: list[dict[str, object]], code: str, seq: int
) -> None:
    Forger(tmp_path, records)
    report = verified(tmp_path)
    assert report.finding is not None
    assert (report.exit, report.finding.code, report.finding.seq) == (Exit.ALTERED, code, seq)
    assert report.finding.line == seq + 1


@pytest.mark.parametrize(
    "records",
    [
        [START, ADMIT],
        [START, ADMIT, PROGRESS],
        [START, {"type": "request.refuse", "req": "never-admitted"}],
        [START, ADMIT, {"type": "request.refuse", "req": "r"}],
        [START, {**ADMIT, "coverage": GAP, "decision": {"action": "block"}}, {"type": "request.refuse", "req": "r"}],
        [START, {**ADMIT, "coverage": {**GAP, "parts_exempt": 1}}],
        [START, {**ADMIT, "coverage": {**GAP, "bytes_scanned": 5, "parts_exempt": 1, "bytes_exempt": 4}}],
        [START, START, {"type": "clock.step", "ts": "0"}],
        [START, {**START, "boot": "c", "mono": "0"}],
    ],
)
def test_what_an_honest_gateway_may_write_is_no_finding(tmp_path: Path, records: list[dict[str, object]]) -> None:
    Forger(tmp_path, records)
    assert verified(tmp_path).finding is None


def test_exchange_in_progress_is_reported_as_open(tmp_path: Path) -> None:
    Forger(tmp_path, [START, ADMIT])
    assert verified(tmp_path).open_exchanges == ["r"]


def test_unfinished_writes_at_the_end_are_notes_and_not_findings(copy: Path) -> None:
    for name in ("seg/0000000000000028.jsonl", "checkpoints.log"):
        with (copy / "log" / name).open("ab") as file:
            file.write(b'{"unfinished')
    report = verified(copy)
    assert report.exit is Exit.PROVED
    assert len(report.notes) == 2


def test_unfinished_line_in_an_earlier_segment_is_a_finding(copy: Path) -> None:
    with segments_in(copy)[0].open("ab") as file:
        file.write(b'{"unfinished')
    report = verified(copy)
    assert report.finding is not None
    assert (report.exit, report.finding.code, report.finding.line) == (Exit.ALTERED, "torn", 15)


@pytest.mark.parametrize("shift", [-1, 1, 10**15])
def test_claim_to_continue_at_a_byte_where_no_line_ends_is_found(copy: Path, shift: int) -> None:
    _continue_at(copy, lambda size: size + shift)
    report = verified(copy)
    assert report.exit is Exit.ALTERED


def test_claim_to_continue_at_the_end_of_a_line_holds(copy: Path) -> None:
    _continue_at(copy, lambda size: size)
    with segments_in(copy)[-2].open("ab") as file:
        file.write(b"left over from a failed sync")
    assert verified(copy).exit is Exit.PROVED


def _continue_at(path: Path, offset: Callable[[int], int]) -> None:
    """Append a segment that claims where the one before ends, sealed with the real key."""
    last = segments_in(path)[-1]
    lines = [line for file in segments_in(path) for line in file.read_bytes().splitlines()]
    tree = Tree()
    tree.extend([leaf_hash(line) for line in lines])
    data, at = last.read_bytes(), 1_900_000_001 * 10**9
    seal = Seal(ORIGIN, int(last.stem), len(lines) - 1, tree.root(), len(data), sha256(data).digest(), at)
    last.with_suffix(".seal").write_bytes(signer_in(0).sign(seal.text()))
    record = {**json.loads(lines[-1]), "seq": len(lines), "prev": b64(leaf_hash(lines[-1])), "type": "audit.fail"}
    record["continues"] = {"first": int(last.stem), "offset": offset(last.stat().st_size)}
    (path / "log" / "seg" / f"{len(lines):016d}.jsonl").write_bytes(canonical(record) + b"\n")


@pytest.mark.parametrize("jobs", [1, 2])
def test_outcome_does_not_depend_on_stretches_or_processes(copy: Path, jobs: int) -> None:
    data = segments_in(copy)[1].read_bytes()
    for size in (100, 700, 5000) if jobs == 1 else (2000,):
        assert _verify_in_stretches(copy, size, jobs) == verified(copy)
    segments_in(copy)[1].write_bytes(data.replace(b'"req":"1-2"', b'"req":"1-7"', 1))
    assert _verify_in_stretches(copy, 700, jobs) == verified(copy)
    assert verified(copy).finding is not None


def _verify_in_stretches(path: Path, size: int, jobs: int) -> Report:
    return verify(path / "log", trust_in(path), jobs, chunk_bytes=size)
