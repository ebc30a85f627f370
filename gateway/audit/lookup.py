"""Stored lines by number, without reading those before: a few dozen reads in a log of any size.

A segment's name says which record it begins with, and each line says its own number, so a line is found by halving.
Nothing is verified here. A log in which the numbers do not lie in order gives LookupError or the wrong line; whoever
asks checks what he gets against a signed root, or reads the log from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gateway.audit.errors import RecordError
from gateway.audit.packed import open_stored
from gateway.audit.record import parse_line
from gateway.audit.segments import LONGEST, Segment, claimed_end, list_segments, raw_lines

_PIECE = 2048


def stored_lines(directory: Path, start: int = 0) -> Iterator[bytes]:
    """Every line that counts from record `start` on, in order, without its newline. LookupError: it is not found."""
    segments = list_segments(directory)
    later = [segment for segment in segments if segment.first > start]
    earlier = segments[: len(segments) - len(later)]
    if start and not earlier:
        raise LookupError(f"no segment holds record {start}")
    for segment in [*earlier[-1:], *later]:
        end = claimed_end(segment, segments)
        offset = _offset(segment, start, end) if segment.first < start else 0
        for raw in raw_lines(segment.path, offset, end):
            if raw.endswith(b"\n"):
                yield raw[:-1]


def stored_line(directory: Path, number: int) -> bytes:
    """One line, with nothing read behind it. LookupError if there is none of that number."""
    segments = list_segments(directory)
    holding = [segment for segment in segments if segment.first <= number]
    if not holding:
        raise LookupError(f"no segment holds record {number}")
    offset = _offset(holding[-1], number, claimed_end(holding[-1], segments))
    with open_stored(holding[-1].path) as file:
        line = _until_newline(file, offset)
    if line is None or _number(line) != number:
        raise LookupError(f"record {number} is not where it should be")
    return line


def _offset(segment: Segment, number: int, end: int | None) -> int:
    """Where in the segment the line of this number begins; its end if the segment ends right before it."""
    with open_stored(segment.path) as file:
        low, high = 0, file.seek(0, 2) if end is None else end
        # Lines that begin before `low` have smaller numbers, lines that begin at `high` or later have not.
        while low < high:
            middle = (low + high) // 2
            found = _line_after(file, middle, high)
            if found is None:
                high = middle
                continue
            begin, line = found
            at = _number(line)
            if at == number:
                return begin
            if at < number:
                low = begin + len(line) + 1
            else:
                high = middle
        return low


def _line_after(file: BinaryIO, position: int, stop: int) -> tuple[int, bytes] | None:
    """The first whole line that begins at `position` or later and before `stop`, and where."""
    if position:
        # A line begins after a newline; the one before `position` counts, too.
        position -= 1
        skipped = _until_newline(file, position)
        if skipped is None:
            return None
        position += len(skipped) + 1
    if position >= stop:
        return None
    line = _until_newline(file, position)
    return (position, line) if line is not None else None


def _until_newline(file: BinaryIO, position: int) -> bytes | None:
    """Bytes from a position up to a newline, or None if none follows within the longest line."""
    file.seek(position)
    read = b""
    while len(read) <= LONGEST:
        piece = file.read(_PIECE)
        at = piece.find(b"\n")
        if at >= 0:
            return read + piece[:at]
        if not piece:
            return None
        read += piece
    return None


def _number(line: bytes) -> int:
    try:
        number = parse_line(line).get("seq")
    except RecordError as exc:
        raise LookupError("a line in the way is no record") from exc
    if not isinstance(number, int):
        raise LookupError("a line in the way has no number")
    return number
