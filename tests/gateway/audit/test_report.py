"""What a verification says."""

from __future__ import annotations

import json

from gateway.audit.report import Exit, Finding, Report, iso

FINDING = Finding(Exit.ALTERED, "link", "seg/0000000000000000.jsonl", "prev a", "prev b", line=3, seq=2, offset=99)


def test_finding_names_file_line_and_record() -> None:
    assert str(FINDING) == "seg/0000000000000000.jsonl:3: record 2: link: expected prev a, found prev b"
    assert str(Finding(Exit.INCOMPLETE, "log_note", "LOG", "a note", "no file")) == (
        "LOG: log_note: expected a note, found no file"
    )


def test_statement_tells_what_is_linked_but_not_signed() -> None:
    report = Report("a", records=10, segments=1, signed=7, signed_ns=1_800_000_000 * 10**9)
    assert report.statement.startswith(
        "10 records, sizes 0 to 10, in 1 segments; signed up to size 7 at 2027-01-15T08:00"
    )
    assert "; the last 3 records are linked but not signed yet; anchored to nothing that" in report.statement


def test_statement_names_the_anchor_and_the_window_after_it() -> None:
    report = Report(
        "a", records=10, segments=1, signed=10, anchored=8, anchored_ns=10**9, anchored_by="kept.checkpoint"
    )
    assert report.statement.endswith(
        "; anchored to 8 at 1970-01-01T00:00:01.000Z by kept.checkpoint; the window after 8 rests on local keys only"
    )
    report.anchored = 10
    assert "window" not in report.statement


def test_erasures_with_authority_have_an_exit_status_of_their_own() -> None:
    report = Report("a", records=10, erased=2, blobs=3)
    assert report.exit is Exit.PROVED_WITH_ERASURES
    assert "3 blobs of content are whole, 2 were erased with authority" in report.statement


def test_a_finding_takes_the_proof_away() -> None:
    report = Report("a", records=2, finding=FINDING)
    assert report.exit is Exit.ALTERED
    assert report.statement.startswith("not proved")


def test_json_is_complete_and_plain() -> None:
    found = json.loads(json.dumps(Report("a", records=2, finding=FINDING).as_json()))
    assert found["exit"] == 2
    assert found["findings"] == [
        {
            "exit": 2,
            "code": "link",
            "file": "seg/0000000000000000.jsonl",
            "line": 3,
            "seq": 2,
            "offset": 99,
            "expected": "prev a",
            "found": "prev b",
        }
    ]
    assert "legal hold" in found["not_checked"]


def test_times_are_utc_to_the_millisecond() -> None:
    assert iso(1_800_000_000_999_999_999) == "2027-01-15T08:00:00.999Z"
