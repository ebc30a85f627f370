"""Names under which parts of a log are kept where a whole directory is not: objects of a bucket, messages of a stream.

A name says which records or bytes it holds, so that the list of names alone tells how far a place has come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

RECORDS = re.compile(r"seg/([0-9]{16})/([0-9]{16})-([0-9]{16})\.jsonl")
SEAL = re.compile(r"^seals/([0-9]{16}\.seal)$")
"""Apart from the records, so that they can be listed without them; in a log directory they are `seg/<first>.seal`."""
SEAL_FILE = re.compile(r"^seg/([0-9]{16}\.seal)$")
PART = re.compile(r"(checkpoints\.log|anchors\.log)/([0-9]{16})-([0-9]{16})")
"""From one byte up to another of a growing file."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object, with its name inside the log's part of the place."""

    name: str
    size: int
    version: str | None
    etag: str
    time: datetime | None
    removed: bool
    """A delete marker: somebody asked for this name to be forgotten."""


class Copies(Protocol):
    """A place whose parts can be listed and read again."""

    @property
    def described(self) -> str:
        """What kind of place it is, for messages: `the bucket`."""

    def list(self, *, versions: bool = False) -> Iterator[Stored]:
        """All that is there; SinkError if it cannot be listed, with its versions or at all."""

    def get(self, name: str, version: str | None = None) -> bytes:
        """What was put. Raises SinkError."""


def records_name(segment: int, first: int, count: int) -> str:
    """Of `count` records of a segment, from `first` on."""
    return f"seg/{segment:016d}/{first:016d}-{first + count - 1:016d}.jsonl"


def part_name(name: str, offset: int, size: int) -> str:
    """Of so many bytes of a growing file."""
    return f"{name}/{offset:016d}-{offset + size:016d}"


def covered(objects: Iterable[Stored], begin: int) -> int:
    """Up to which record these objects hold all from `begin` on."""
    ranges = sorted((int(found[2]), int(found[3])) for item in objects if (found := RECORDS.fullmatch(item.name)))
    end = begin
    for first, last in ranges:
        if first <= end <= last:
            end = last + 1
    return end


def last_byte(objects: Iterable[Stored]) -> int:
    """Up to where these parts of a growing file go."""
    return max((int(found[3]) for item in objects if (found := PART.fullmatch(item.name))), default=0)
