"""Names and lines of the segment files, for everyone who reads them: recovery, verification, and the commands.

A segment is `seg/<sequence number of its first record, 16 digits>.jsonl`, or the same with `.zst` behind it if it was
compressed (packed.py): where both are there, the first one counts. Reading is by stored bytes and in order; memory
stays at one line. Files beside the segments (`.torn`, `.void`) hold bytes that were never part of the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import cast

from gateway.audit.errors import PackedError
from gateway.audit.packed import open_stored
from gateway.audit.record import MAX_BYTES

_NAME = re.compile(r"([0-9]{16})\.jsonl(\.zst)?")
LONGEST = MAX_BYTES + 1
"""A stored line with its newline."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of consecutive records."""

    first: int
    path: Path


@dataclass(frozen=True, slots=True)
class Continues:
    """Says in a segment's first record that the segment `first` counts up to byte `offset` only."""

    first: int
    offset: int


def segment_path(directory: Path, first: int) -> Path:
    return directory / "seg" / f"{first:016d}.jsonl"


def aside_path(segment: Path, kind: str) -> Path:
    """An unused name beside the segment for bytes that are not records."""
    number, path = 0, segment.with_suffix(f".{kind}")
    while path.exists():
        number += 1
        path = segment.with_suffix(f".{number}.{kind}")
    return path


def list_segments(directory: Path) -> list[Segment]:
    """All segments in order of their names."""
    found: dict[int, Path] = {}
    for path in (directory / "seg").iterdir():
        match = _NAME.fullmatch(path.name)
        if match is not None and (not match[2] or int(match[1]) not in found):
            found[int(match[1])] = path
    return [Segment(first, found[first]) for first in sorted(found)]


def raw_lines(path: Path, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Lines with their newlines. A last line without one, or one that is too long, comes as it is."""
    with BufferedReader(cast("RawIOBase", open_stored(path)), 1 << 20) as file:
        file.seek(start)
        offset = start
        while stop is None or offset < stop:
            line = file.readline(LONGEST + 1)
            if not line:
                return
            offset += len(line)
            yield line


def starts_with_record(segment: Segment) -> bool:
    """False if nothing in the file was ever complete: empty, torn, or a hole left by a power cut."""
    first = next(raw_lines(segment.path), b"")
    return is_complete(first)


def is_complete(line: bytes) -> bool:
    """Whole and without a hole. Canonical JSON never holds a zero byte, a lost write leaves nothing else."""
    return line.endswith(b"\n") and b"\0" not in line


def claimed_end(segment: Segment, segments: list[Segment]) -> int | None:
    """Where the segment ends by what the next one says; None if it counts to its end."""
    following = next((other for other in segments if other.first > segment.first), None)
    claim = continues_of(following) if following is not None else None
    return claim.offset if claim is not None and claim.first == segment.first else None


def continues_of(segment: Segment) -> Continues | None:
    """What the first record says about the segment before. The record itself is checked where it is read."""
    try:
        with BufferedReader(cast("RawIOBase", open_stored(segment.path))) as file:
            # Not by raw_lines, whose buffer is for reading on.
            first = file.readline(LONGEST + 1)
        claim = json.loads(first).get("continues")
        return Continues(int(claim["first"]), int(claim["offset"]))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError, PackedError):
        return None
