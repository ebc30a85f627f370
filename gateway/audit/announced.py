"""Which epoch the records speak of last: a signature that nobody knows may be by a key whose certificate is gone.

Looked at only when a signature was not recognised, and in the first two lines of each segment, where alone an epoch is
announced. Nothing here is verified: it tells one failure from another, and makes none into a success.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from gateway.audit.birth import NAME
from gateway.audit.epochs import DIRECTORY, certificate_path
from gateway.audit.report import Exit, Finding
from gateway.audit.segments import list_segments, raw_lines

_UNKNOWN: Final = frozenset({"anchor", "checkpoint", "packed", "seal"})
"""Codes of what is signed by epoch keys."""
_VERSION_2: Final = b"gatehouse-audit-log/v2\n"


def or_missing_certificate(directory: Path, finding: Finding) -> Finding:
    """The finding, or that a certificate is missing, where that is why a signature does not hold."""
    if finding.code not in _UNKNOWN or finding.exit is not Exit.ALTERED:
        return finding
    with suppress(OSError):
        if not (directory / NAME).read_bytes().startswith(_VERSION_2):
            return finding
        number = max((0, *_announced(directory)))
        path = certificate_path(directory, number)
        if not path.exists():
            expected = f"the certificate of epoch {number}, which the records announce"
            return Finding(Exit.INCOMPLETE, "epoch_missing", f"{DIRECTORY}/{path.name}", expected, "no file")
    return finding


def _announced(directory: Path) -> Iterator[int]:
    for segment in list_segments(directory):
        for raw in islice(raw_lines(segment.path), 2):
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                record = json.loads(raw)
                if record["type"] == "key.epoch" and type(record["key"]["epoch"]) is int:
                    yield min(record["key"]["epoch"], 99_999_999)
