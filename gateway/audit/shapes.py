"""Lines that look like one that was proven: what a verifier has to know of them, without building their objects.

Most records of a log have the fields of many before them, and differ in numbers and in what stands between quotes.
From a line that was proven to be canonical a pattern is made, in which each string may be any plain text (ASCII, no
quote, no backslash, no control character) and each integer any that is canonical and small enough. Whatever matches
the whole pattern is canonical too: its keys, their order and its nesting are those of the proven line, plain text is
its own encoding, and so are these integers. That costs a third of parsing and encoding again.

A pattern only ever says yes. A line that no pattern matches, and one of which something in the match is not as it
should be, is read in full, whose verdict alone counts (record.py, chunk.py). Patterns are made of what was
seen often, they are few, none is of a long line, and each matches in time linear in the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gateway.audit.record import Json

LEARN_AFTER: Final = 200
"""Making a pattern takes as long as reading a thousand lines."""
KIND, KIND_LENGTH = b'"type":"', 20
"""So many bytes from the last of these on are what a line is looked up by: the beginning of its `type`, mostly."""
_MOST_OF_KIND, _MOST = 12, 96
_LONGEST: Final = 8 * 1024
_MOST_COUNTED: Final = 4096

_TEXT: Final = rb"[ !#-\[\]-~]*+"
_NUMBER: Final = rb"(?:0|-?[1-9][0-9]{0,14}+)"
_COUNT: Final = rb"(?:0|[1-9][0-9]{0,14}+)"
_TIME: Final = rb"(?:0|[1-9][0-9]{0,18}+)"


_UNITS: Final = ("parts", "bytes")
_COUNTED: Final = ("parts", "parts_scanned", "bytes", "bytes_scanned")
_TAKEN: Final[dict[tuple[str, ...], tuple[type, bytes]]] = {
    ("boot",): (str, _TEXT),
    ("mono",): (str, _TIME),
    ("prev",): (str, _TEXT),
    ("req",): (str, _TEXT),
    ("seq",): (int, _COUNT),
    ("ts",): (str, _TIME),
    ("policy", "compiled_digest"): (str, _TEXT),
    **{("coverage", unit + part): (int, _COUNT) for unit in _UNITS for part in ("", "_exempt", "_scanned")},
}
"""What is handed out of a line by its path, its type, and what may stand there."""
_ORDER: Final = ("seq", "prev", "ts", "mono", "boot")
_INSIDE: Final = ("[]",)
_FIXED: Final = {("v",), ("origin",), ("type",)}


@dataclass(frozen=True, slots=True)
class Shape:
    """Lines of one kind with the same keys. Places are numbers of groups in a match, 0 for what is not there."""

    kind: str
    match: Callable[[bytes, int, int], re.Match[bytes] | None]
    places: tuple[int, ...]
    """Of seq, prev, ts, mono, boot, req and the policy's digest."""
    has_request: bool
    has_policy: bool
    exempt: tuple[tuple[int, int, int], ...]
    """Of a line of whose parts, or bytes, some are exempt: where all of them, the scanned and the exempt ones stand."""
    has_content: bool
    is_told: bool
    """Whether every such line means something to the rest of the log."""


NONE: Final[list[Shape]] = []


class Shapes:
    """The patterns of one log, and how often lines were seen for which there is none. Owned by one thread."""

    def __init__(self, learn_after: int = LEARN_AFTER) -> None:
        self._learn_after = learn_after
        self.kinds: dict[bytes, list[Shape]] = {}
        """By the KIND_LENGTH bytes from the last KIND on."""
        self.learnt = 0
        self._seen: dict[tuple[bytes, int], int] = {}

    def learn(self, line: bytes, record: dict[str, Json], paired: Container[str]) -> None:
        """Take note of a line that holds, was read in full, and may stand for others of its kind."""
        at = line.rfind(KIND)
        kind = line[at : at + KIND_LENGTH]
        known = self.kinds.setdefault(kind, [])
        if len(known) >= _MOST_OF_KIND or self.learnt >= _MOST or len(line) > _LONGEST:
            return
        key = kind, line.count(b'"')
        times = self._seen[key] = self._seen.get(key, 0) + 1
        if times < self._learn_after:
            if len(self._seen) > _MOST_COUNTED:
                self._seen.clear()
            return
        self._seen[key] = 0
        shape = shape_of(line, record, paired)
        if shape is not None:
            known.append(shape)
            self.learnt += 1


@lru_cache(4)
def shapes_of(origin: str) -> Shapes:
    """Those of this process for the log of that name."""
    del origin  # the key of the cache
    return Shapes()


def shape_of(line: bytes, record: dict[str, Json], paired: Container[str]) -> Shape | None:
    """The shape of a canonical line that holds, or None if there is none for its like."""
    kind, coverage = record.get("type"), record.get("coverage")
    names: list[str] = []
    match = re.compile(_pattern(record, (), names)).fullmatch
    if not isinstance(kind, str) or "continues" in record or not set(_ORDER) <= set(names):
        return None
    if match(line, 0, len(line)) is None:
        return None
    if isinstance(coverage, dict) and not (coverage.get("uncovered") in (None, []) and set(_COUNTED) <= set(names)):
        return None
    at = {name: place for place, name in enumerate(names, 1)}
    exempt = tuple((at[unit], at[f"{unit}_scanned"], at[f"{unit}_exempt"]) for unit in _UNITS if f"{unit}_exempt" in at)
    has_content = record.get("content") is not None
    places = tuple(at.get(name, at["seq"]) for name in (*_ORDER, "req", "compiled_digest"))
    told = has_content or kind in paired
    return Shape(kind, match, places, "req" in at, "compiled_digest" in at, exempt, has_content, told)


def _pattern(value: Json, path: tuple[str, ...], names: list[str]) -> bytes:
    """What is like this value; `names`: of what the pattern hands out, in its order."""
    if path in _FIXED:
        return re.escape(_encode(value))
    type_, pattern = _TAKEN.get(path, (None, b""))
    if type(value) is type_:
        names.append(path[-1])
        unit = path[-1].removesuffix("_scanned")
        if unit in names and f"{unit}_exempt" not in names and unit != path[-1]:
            # All of them were scanned: the same number once more.
            return b"((?P=%b))" % unit.encode()
        named = b"(?P<%b>%b)" % (path[-1].encode(), pattern)
        return b'"%b"' % named if type_ is str else named
    if isinstance(value, str):
        return b'"%b"' % _TEXT
    if type(value) is int:
        return _NUMBER
    if isinstance(value, dict):
        return _members(value, path, names)
    return _items(value) if isinstance(value, list) and value else re.escape(_encode(value))


def _members(value: dict[str, Json], path: tuple[str, ...], names: list[str]) -> bytes:
    members = (re.escape(_encode(key)) + b":" + _pattern(item, (*path, key), names) for key, item in value.items())
    return rb"\{" + b",".join(members) + rb"\}"


def _items(value: list[Json]) -> bytes:
    """Any number of items, each like one of those that are there; nothing is handed out of a list."""
    item = b"(?:" + b"|".join(dict.fromkeys(_pattern(item, _INSIDE, []) for item in value)) + b")"
    return rb"\[" + item + b"(?:," + item + rb")*+\]"


def _encode(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
