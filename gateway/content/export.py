"""The records that name a person, read from the log's files. For an export, on a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.audit.errors import RecordError
from gateway.audit.record import Json, parse_line
from gateway.audit.segments import claimed_end, list_segments, raw_lines


def records_naming(log: Path, token: str) -> Iterator[dict[str, Json]]:
    """Every record made on behalf of this person, oldest first. Raises OSError."""
    segments, wanted = list_segments(log), token.encode()
    for segment in segments:
        for raw in raw_lines(segment.path, 0, claimed_end(segment, segments)):
            if wanted in raw and raw.endswith(b"\n") and (record := _read(raw[:-1])) is not None:
                on_behalf = record.get("on_behalf")
                if isinstance(on_behalf, dict) and on_behalf.get("sub") == token:
                    yield record


def _read(line: bytes) -> dict[str, Json] | None:
    try:
        return parse_line(line)
    except RecordError:
        return None
