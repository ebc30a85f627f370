"""Records of the log by what no index holds: a person's token, a keyed digest. Read on a thread of its own.

The search index holds neither, on purpose: it is a cache that anybody who administers the gateway may copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.audit.errors import RecordError
from gateway.audit.record import Json, parse_line
from gateway.audit.segments import claimed_end, list_segments, raw_lines


def records_naming(log: Path, token: str) -> Iterator[dict[str, Json]]:
    """Every record made on behalf of this person, oldest first. Raises OSError."""
    for record in _holding(log, token):
        on_behalf = record.get("on_behalf")
        if isinstance(on_behalf, dict) and on_behalf.get("sub") == token:
            yield record


def requests_with(log: Path, digest: str) -> Iterator[str]:
    """The request of every record that has this keyed digest, oldest first. Raises OSError."""
    for record in _holding(log, digest):
        digests = record.get("digest")
        if isinstance(digests, dict) and digest in digests.values():
            yield str(record.get("req"))


def _holding(log: Path, text: str) -> Iterator[dict[str, Json]]:
    segments, wanted = list_segments(log), text.encode()
    for segment in segments:
        for raw in raw_lines(segment.path, 0, claimed_end(segment, segments)):
            if wanted in raw and raw.endswith(b"\n") and (record := _read(raw[:-1])) is not None:
                yield record


def _read(line: bytes) -> dict[str, Json] | None:
    try:
        return parse_line(line)
    except RecordError:
        return None
