"""Checks a stretch of one segment by itself, so that a large log can be verified on several cores.

Whatever can be said of a line alone, or against the line before, is said here; what needs the rest of the log (tree,
signed heads, exchanges that began earlier) is handed back in compact form. The check stops at the first line that
does not hold. Findings carry names and hashes, never the content of a line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gateway.audit.errors import RecordError
from gateway.audit.merkle import leaf_hash
from gateway.audit.record import Json, parse_line
from gateway.audit.recover import TERMINALS
from gateway.audit.segments import LONGEST
from gateway.audit.writer import VERSION, b64

ADMIT, PROGRESS, TERMINAL, START = "admit", "progress", "terminal", "start"
_EVENTS = {"request.admit": ADMIT, "response.progress": PROGRESS, "gateway.start": START}
_EVENTS |= dict.fromkeys(TERMINALS, TERMINAL)
REFUSE = "request.refuse"


class Moment(NamedTuple):
    """What orders a record among its neighbours."""

    seq: int
    prev: str
    ts: int
    mono: int
    boot: str
    is_step: bool


class Problem(NamedTuple):
    """A line that does not hold."""

    code: str
    expected: str
    found: str


class Event(NamedTuple):
    """A step in the life of an exchange."""

    place: int
    """Which line of the stretch."""
    kind: str
    request: str
    may_be_first: bool


@dataclass(slots=True)
class Chunk:
    """What a stretch of lines says to the rest."""

    leaves: list[bytes] = field(default_factory=list)
    first: Moment | None = None
    last: Moment | None = None
    events: list[Event] = field(default_factory=list)
    continues: tuple[int, int] | None = None
    """Claim of the first record about the segment before."""
    end: int = 0
    """Offset after the last line that holds. Bytes without a newline may follow; the caller judges them."""
    problem: Problem | None = None


def check_chunk(path: Path, start: int, stop: int, origin: str) -> Chunk:
    """Check the lines that begin at `start` or later and before `stop`."""
    chunk = Chunk()
    with path.open("rb", buffering=1 << 20) as file:
        offset = file.seek(max(0, start - 1))
        if start > 0:
            # A line that began earlier belongs to the stretch before, however far it reaches in here.
            while not file.readline(LONGEST + 1).endswith(b"\n") and file.tell() < stop:
                continue
            offset = file.tell()
        while offset < stop:
            raw = file.readline(LONGEST + 1)
            if not raw.endswith(b"\n") and len(raw) <= LONGEST:
                break
            chunk.problem = _add(chunk, raw, offset, origin)
            if chunk.problem is not None:
                break
            offset += len(raw)
            chunk.end = offset
    return chunk


def _add(chunk: Chunk, raw: bytes, offset: int, origin: str) -> Problem | None:
    line = raw[:-1]
    try:
        if len(raw) > LONGEST:
            raise RecordError("line is longer than any record")
        record = parse_line(line)
    except RecordError as exc:
        return Problem("form", "one record in canonical JSON", str(exc))
    moment = _moment(record, origin)
    if isinstance(moment, Problem):
        return moment
    problem = check_order(chunk.last, chunk.leaves[-1], moment) if chunk.last is not None else None
    problem = problem or _check_coverage(record)
    if problem is not None:
        return problem
    if chunk.first is None:
        chunk.first = moment
        chunk.continues = _continues(record)
    elif "continues" in record and offset > 0:
        return Problem("continues", "`continues` in the first record of a segment only", "it in a later one")
    kind = _EVENTS.get(str(record["type"]))
    if kind is not None:
        request = record.get("req")
        if not isinstance(request, str) and kind is not START:
            return Problem("pairing", "a request id in `req`", "none")
        chunk.events.append(Event(len(chunk.leaves), kind, str(request), record["type"] == REFUSE))
    chunk.last = moment
    chunk.leaves.append(leaf_hash(line))
    return None


def _moment(record: dict[str, Json], origin: str) -> Moment | Problem:
    """The fields every record has, or what is wrong with them."""
    if record.get("v") != VERSION:
        return Problem("version", f"version {VERSION}", "another one or none")
    if record.get("origin") != origin:
        return Problem("origin", f"origin `{origin}`", "another one or none")
    seq, prev, ts, mono = record.get("seq"), record.get("prev"), record.get("ts"), record.get("mono")
    boot, kind = record.get("boot"), record.get("type")
    if type(seq) is not int or not isinstance(boot, str) or not isinstance(kind, str) or not isinstance(prev, str):
        return Problem("fields", "seq, prev, boot and type of the right kinds", "another kind or none")
    if not isinstance(ts, str) or not isinstance(mono, str) or not _is_number(ts) or not _is_number(mono):
        return Problem("fields", "ts and mono as decimal strings", "another kind or none")
    return Moment(seq, prev, int(ts), int(mono), boot, kind == "clock.step")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20 and (text[0] != "0" or text == "0")


def check_order(before: Moment | None, leaf: bytes, moment: Moment) -> Problem | None:
    """Whether a record follows from the one before, whose leaf hash is given."""
    seq = before.seq + 1 if before is not None else 0
    if moment.seq != seq:
        return Problem("sequence", f"seq {seq}", f"seq {moment.seq}")
    if moment.prev != b64(leaf):
        return Problem("link", f"prev {b64(leaf)}", f"prev {moment.prev}")
    if before is None:
        return None
    if moment.ts < before.ts and not moment.is_step:
        return Problem("time", f"ts of at least {before.ts}, or a clock.step record", f"ts {moment.ts}")
    if moment.boot == before.boot and moment.mono < before.mono:
        return Problem("time", f"mono of at least {before.mono} in the same boot", f"mono {moment.mono}")
    return None


def _check_coverage(record: dict[str, Json]) -> Problem | None:
    """What was neither scanned nor exempted by a rule must not have passed."""
    coverage = record.get("coverage")
    if coverage is None or record["type"] == REFUSE:
        return None
    if not isinstance(coverage, dict):
        return Problem("coverage", "an object", "another kind")
    if not coverage.get("uncovered") and all(_is_accounted_for(coverage, unit) for unit in ("parts", "bytes")):
        return None
    decision = record.get("decision")
    action = decision.get("action") if isinstance(decision, dict) else None
    if action == "block":
        return None
    return Problem("coverage", "all parts and bytes scanned or exempt, or action block", "a gap that was let through")


def _is_accounted_for(coverage: dict[str, Json], unit: str) -> bool:
    total, scanned, exempt = coverage.get(unit), coverage.get(f"{unit}_scanned"), coverage.get(f"{unit}_exempt", 0)
    if type(total) is not int or type(scanned) is not int or type(exempt) is not int:
        return False
    return scanned >= 0 and exempt >= 0 and total == scanned + exempt


def _continues(record: dict[str, Json]) -> tuple[int, int] | None:
    claim = record.get("continues")
    if not isinstance(claim, dict):
        return None
    first, offset = claim.get("first"), claim.get("offset")
    return (first, offset) if type(first) is int and type(offset) is int else None
