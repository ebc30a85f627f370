"""Names and lines of segment files."""

from __future__ import annotations

from pathlib import Path

from gateway.audit.segments import (
    LONGEST,
    Continues,
    Segment,
    aside_path,
    claimed_end,
    continues_of,
    list_segments,
    raw_lines,
    segment_path,
    starts_with_record,
)


def segment(path: Path, first: int, data: bytes) -> Segment:
    file = segment_path(path, first)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    return Segment(first, file)


def test_segments_are_listed_in_order_and_other_files_are_not(tmp_path: Path) -> None:
    later, earlier = segment(tmp_path, 10, b""), segment(tmp_path, 9, b"")
    for name in ("0000000000000009.torn", "9.jsonl", "0000000000000009.jsonl.tmp", "notes.txt"):
        (tmp_path / "seg" / name).write_bytes(b"")
    assert list_segments(tmp_path) == [earlier, later]


def test_lines_come_as_stored_and_an_endless_one_in_pieces(tmp_path: Path) -> None:
    found = segment(tmp_path, 0, b"a\n\nb\r\n" + b"x" * (3 * LONGEST))
    lines = list(raw_lines(found.path))
    assert lines[:3] == [b"a\n", b"\n", b"b\r\n"]
    assert all(len(line) <= LONGEST + 1 for line in lines)
    assert list(raw_lines(found.path, start=2, stop=3)) == [b"\n"]


def test_a_hole_or_a_torn_line_is_no_record(tmp_path: Path) -> None:
    for data, expected in ((b"", False), (b'{"a"', False), (b"\0\0\0\n", False), (b"\0\0", False), (b"{}\n", True)):
        assert starts_with_record(segment(tmp_path, 0, data)) is expected


def test_claim_counts_only_for_the_segment_it_names(tmp_path: Path) -> None:
    first = segment(tmp_path, 0, b"{}\n{}\n")
    second = segment(tmp_path, 1, b'{"continues":{"first":0,"offset":3}}\n')
    third = segment(tmp_path, 2, b"{}\n")
    segments = [first, second, third]
    assert continues_of(second) == Continues(0, 3)
    assert [claimed_end(found, segments) for found in segments] == [3, None, None]


def test_unreadable_claims_are_none(tmp_path: Path) -> None:
    for data in (
        b"",
        b"\xff\n",
        b"[]\n",
        b'{"continues":1}\n',
        b'{"continues":{"first":"x","offset":1}}\n',
        b"[" * 9000,
    ):
        assert continues_of(segment(tmp_path, 0, data)) is None


def test_bytes_set_aside_never_replace_earlier_ones(tmp_path: Path) -> None:
    found = segment(tmp_path, 3, b"")
    names = []
    for _ in range(3):
        path = aside_path(found.path, "torn")
        path.write_bytes(b"")
        names.append(path.name)
    assert names == ["0000000000000003.torn", "0000000000000003.1.torn", "0000000000000003.2.torn"]
