"""Checks a stretch of one segment by itself, so that a large log can be verified on several cores.

Whatever can be said of a line alone, or against the line before, is said here; what needs the rest of the log (tree,
signed heads, exchanges that began earlier) is handed back in compact form. The check stops at the first line that
does not hold. Findings carry names and hashes, never the content of a line.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from gateway.audit.errors import PackedError, RecordError
from gateway.audit.exchanges import TERMINALS
from gateway.audit.merkle import leaf_hash
from gateway.audit.packed import open_stored
from gateway.audit.record import MAX_BYTES, Json, parse_line
from gateway.audit.segments import LONGEST
from gateway.audit.shapes import KIND, KIND_LENGTH, NONE, Shapes, shapes_of
from gateway.audit.writer import VERSION, b64

ADMIT, PROGRESS, REFUSE, START = "request.admit", "response.progress", "request.refuse", "gateway.start"
PAIRED = frozenset({ADMIT, PROGRESS, *TERMINALS})
ERASURES = frozenset({"content.erase", "retention.prune"})
_SPOKEN = ERASURES | {"key.epoch", "checkpoint.anchor", "audit.adopt", "hold.release"}
_TOLD = PAIRED | _SPOKEN | {START, "clock.step", "audit.fail"}
"""Types that mean something to the rest of the log."""
_SAYING = _SPOKEN | {"policy.load"}
_AGREED = ("approval", "approved_by", "binding", "bundle", "hold", "reason", "stage", "subject")
_SAID = ("key", "ts", "anchor", "erase", "refused", "adopt", *_AGREED)
_UNLIKE = _TOLD - PAIRED
"""Types of which each record says something of its own."""
_NOTHING: Final[dict[str, Json]] = {}
_DECIDED = ("request.", "response.", "moderation.")
_NAMES = ("v", "origin", "seq", "prev", "ts", "mono", "boot", "type")
_FIELDS: Callable[[dict[str, Json]], tuple[Json, ...]] = itemgetter(*_NAMES)
_PARTS, _BYTES = ("parts", "parts_scanned", "parts_exempt"), ("bytes", "bytes_scanned", "bytes_exempt")


class Moment(NamedTuple):
    """What orders a record among its neighbours."""

    seq: int
    prev: str
    ts: int
    mono: int
    boot: str
    kind: str
    ts_text: Json
    mono_text: Json


class Problem(NamedTuple):
    """A line that does not hold."""

    code: str
    expected: str
    found: str


class Event(NamedTuple):
    """A record that means something to later ones."""

    place: int
    """Which line of the stretch."""
    kind: str
    request: str
    """Id of the exchange or of the call; empty if it has none."""
    told: dict[str, Json]
    """What the record says more, by kind: an epoch, an anchor, an erasure."""
    policy: str = ""
    """Digest of the policy it cites, where this stretch did not cite it before, or loads."""
    content: Json = None


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


def check_chunk(path: Path, start: int, stop: int, origin: str, shapes: Shapes | None = None) -> Chunk:
    """Check the lines that begin at `start` or later and before `stop`."""
    chunk = Chunk()
    base = max(0, start - 1)
    try:
        with open_stored(path) as file:
            file.seek(base)
            data = file.read(stop - base + LONGEST + 1)
    except PackedError as exc:
        chunk.problem = Problem("packed", "a compressed segment that can be read", str(exc.strerror))
        return chunk
    # A line that began earlier belongs to the stretch before, however far it reaches in here.
    begin = data.find(b"\n") + 1 if start > 0 else 0
    if (start > 0 and begin == 0) or base + begin >= stop:
        return chunk
    end = data.find(b"\n", max(begin, stop - base - 1))
    is_cut = end < 0
    if is_cut:
        end = data.rfind(b"\n", begin)
    if end >= begin:
        rules = _Rules(chunk, origin, shapes or shapes_of(origin), is_file_start=base + begin == 0)
        chunk.problem = rules.check(data[begin : end + 1])
        chunk.end += base + begin
    if is_cut and chunk.problem is None and len(data) - max(begin, end + 1) > MAX_BYTES:
        chunk.problem = _form("line is longer than any record")
    return chunk


def _form(found: str) -> Problem:
    return Problem("form", "one record in canonical JSON", found)


class _Rules:
    """What has to hold of each record, beside the one before it in the same stretch."""

    def __init__(self, chunk: Chunk, origin: str, shapes: Shapes, is_file_start: bool) -> None:
        self._chunk, self._origin, self._shapes, self._is_file_start = chunk, origin, shapes, is_file_start
        self._cited: set[bytes] = set()
        """Policies that this stretch has cited since its last start."""

    def check(self, block: bytes) -> Problem | None:
        """Check consecutive lines, each with its newline, and say what is wrong with the first that does not hold."""
        chunk = self._chunk
        while chunk.end < len(block):
            line = block[chunk.end : block.index(b"\n", chunk.end)]
            if problem := self._read(line):
                return problem
            chunk.leaves.append(leaf_hash(line))
            chunk.end = self._follow(block, chunk.end + len(line) + 1)
        return None

    def _read(self, line: bytes) -> Problem | None:
        """Read a line in full. Its verdict alone counts."""
        try:
            record = parse_line(line)
        except RecordError as exc:
            return _form(str(exc))
        problem = self._check(record)
        if problem is None:
            kind = str(record["type"])
            if kind not in _UNLIKE and not kind.startswith("policy."):
                self._shapes.learn(line, record, PAIRED)
        return problem

    def _follow(self, block: bytes, at: int) -> int:
        """Go on with lines that hold by their shapes; the offset of the first that has to be read.

        One loop with few calls: this is where a verification spends its time.
        """
        chunk, before = self._chunk, self._chunk.last
        assert before is not None  # a line was read
        leaves, events, cited, kinds, size = chunk.leaves, chunk.events, self._cited, self._shapes.kinds, len(block)
        seq, link, digest = before.seq + 1, b2a_base64(leaves[-1], newline=False), ""
        times = (str(before.ts).encode(), str(before.mono).encode(), before.boot.encode())
        while at < size:
            end = block.find(b"\n", at)
            kind = block.rfind(KIND, at, end)
            for shape in kinds.get(block[kind : kind + KIND_LENGTH], NONE):
                if (match := shape.match(block, at, end)) is not None:
                    break
            else:
                break
            number, prev, ts, mono, boot, request, policy = match.group(*shape.places)
            now = ts, mono, boot
            if prev != link or number != b"%d" % seq or (now != times and not _is_later(now, times)):
                break
            if shape.exempt and not _adds_up(match, shape.exempt):
                break
            if policy not in cited and shape.has_policy:
                digest = self._news(policy, shape.kind)
            if shape.is_told or digest:
                id_ = request.decode() if shape.has_request else ""
                content = orjson.loads(block[at:end])["content"] if shape.has_content else None
                # Not by its name, which takes three times as long.
                events.append(tuple.__new__(Event, (len(leaves), shape.kind, id_, _NOTHING, digest, content)))
                digest = ""
            leaf = sha256(b"\0" + block[at:end]).digest()
            leaves.append(leaf)
            at, seq, times, link = end + 1, seq + 1, now, b2a_base64(leaf, newline=False)
        if seq > before.seq + 1:
            was = [text.decode() for text in times]
            chunk.last = Moment(seq - 1, "", int(was[0]), int(was[1]), was[2], "", was[0], was[1])
        return at

    def _check(self, record: dict[str, Json]) -> Problem | None:
        chunk = self._chunk
        moment = _moment(record, self._origin, chunk.last)
        if isinstance(moment, Problem):
            return moment
        if chunk.last is None:
            chunk.first, chunk.continues = moment, _continues(record)
        else:
            if problem := check_order(chunk.last, chunk.leaves[-1], moment):
                return problem
            if self._is_file_start and "continues" in record:
                return Problem("continues", "`continues` in the first record of a segment only", "it in a later one")
        if "coverage" in record and (problem := _check_coverage(record)):
            return problem
        chunk.last = moment
        kind = moment.kind
        if kind in _TOLD or "policy" in record or "content" in record:
            return self._tell(record, kind)
        return None

    def _tell(self, record: dict[str, Json], kind: str) -> Problem | None:
        """Hand on what the rest of the log has to know of this record."""
        if kind == START:
            self._cited.clear()
        policy, content, request = self._policy(record, kind), record.get("content"), record.get("req")
        if kind not in _TOLD and not policy and content is None:
            return None
        if kind in PAIRED and not isinstance(request, str):
            return Problem("pairing", "a request id in `req`", "none")
        told: dict[str, Json] = {name: record[name] for name in _SAID if name in record} if kind in _SAYING else {}
        event = Event(len(self._chunk.leaves), kind, request if isinstance(request, str) else "", told, policy, content)
        self._chunk.events.append(event)
        return None

    def _policy(self, record: dict[str, Json], kind: str) -> str:
        """The digest, if it is news."""
        policy = record.get("policy")
        digest = policy.get("compiled_digest") if isinstance(policy, dict) else None
        if not isinstance(digest, str):
            return ""
        if kind.startswith("policy."):
            return digest if kind != "policy.reject" else ""
        return self._news(digest.encode(), kind)

    def _news(self, digest: bytes, kind: str) -> str:
        """The digest of a policy that decided, if this stretch has not cited it before."""
        if not digest or digest in self._cited or not kind.startswith(_DECIDED):
            return ""
        self._cited.add(digest)
        return digest.decode()


def _is_later(now: tuple[bytes, ...], before: tuple[bytes, ...]) -> bool:
    """Whether neither clock went back."""
    ts, mono, boot = now
    return int(ts) >= int(before[0]) and (boot != before[2] or int(mono) >= int(before[1]))


def _adds_up(match: re.Match[bytes], counts: tuple[tuple[int, int, int], ...]) -> bool:
    """Whether all parts, or bytes, are the scanned and the exempt ones."""
    return all(int(match[total]) == int(match[scanned]) + int(match[exempt]) for total, scanned, exempt in counts)


def _moment(record: dict[str, Json], name: str, before: Moment | None) -> Moment | Problem:
    """The fields every record has, or what is wrong with them."""
    try:
        v, origin, seq, prev, ts_text, mono_text, boot, kind = _FIELDS(record)
    except KeyError:
        v, origin, seq, prev, ts_text, mono_text, boot, kind = map(record.get, _NAMES)
    if v != VERSION or type(v) is not int:
        return Problem("version", f"version {VERSION}", "another one or none")
    if origin != name:
        return Problem("origin", f"origin `{name}`", "another one or none")
    if type(seq) is not int or type(boot) is not str or type(kind) is not str or type(prev) is not str:
        return Problem("fields", "seq, prev, boot and type of the right kinds", "another kind or none")
    # Records of one batch carry the same times.
    ts = before.ts if before is not None and ts_text == before.ts_text else _number(ts_text)
    mono = before.mono if before is not None and mono_text == before.mono_text else _number(mono_text)
    if ts < 0 or mono < 0:
        return Problem("fields", "ts and mono as decimal strings", "another kind or none")
    return Moment(seq, prev, ts, mono, boot, kind, ts_text, mono_text)


def _number(text: Json) -> int:
    """The value of a decimal string of at most 20 digits; -1 for anything else."""
    if type(text) is str and text.isascii() and text.isdigit() and len(text) <= 20 and (text[0] != "0" or text == "0"):
        return int(text)
    return -1


def check_order(before: Moment | None, leaf: bytes, moment: Moment) -> Problem | None:
    """Whether a record follows from the one before, whose leaf hash is given."""
    seq, prev, ts, mono, boot, kind, _, _ = moment
    expected = before.seq + 1 if before is not None else 0
    if seq != expected:
        return Problem("sequence", f"seq {expected}", f"seq {seq}")
    if prev != b64(leaf):
        return Problem("link", f"prev {b64(leaf)}", f"prev {prev}")
    if before is None:
        return None
    if ts < before.ts and kind != "clock.step":
        return Problem("time", f"ts of at least {before.ts}, or a clock.step record", f"ts {ts}")
    if mono < before.mono and boot == before.boot:
        return Problem("time", f"mono of at least {before.mono} in the same boot", f"mono {mono}")
    return None


def _check_coverage(record: dict[str, Json]) -> Problem | None:
    """What was neither scanned nor exempted by a rule must not have passed."""
    coverage = record["coverage"]
    if coverage is None or record["type"] == REFUSE:
        return None
    if type(coverage) is not dict:
        return Problem("coverage", "an object", "another kind")
    if not coverage.get("uncovered") and _is_accounted_for(coverage, *_PARTS) and _is_accounted_for(coverage, *_BYTES):
        return None
    decision = record.get("decision")
    action = decision.get("action") if isinstance(decision, dict) else None
    if action == "block":
        return None
    return Problem("coverage", "all parts and bytes scanned or exempt, or action block", "a gap that was let through")


def _is_accounted_for(coverage: dict[str, Json], of: str, scanned_of: str, exempt_of: str) -> bool:
    total, scanned = coverage.get(of), coverage.get(scanned_of)
    if exempt_of not in coverage and total == scanned and type(total) is type(scanned) is int:
        return total >= 0
    exempt = coverage.get(exempt_of, 0)
    if type(total) is not int or type(scanned) is not int or type(exempt) is not int:
        return False
    return scanned >= 0 <= exempt and total == scanned + exempt


def _continues(record: dict[str, Json]) -> tuple[int, int] | None:
    """What the record claims; a claim that can be read by nobody is one about no segment."""
    if "continues" not in record:
        return None
    claim = record["continues"]
    first, offset = (claim.get("first"), claim.get("offset")) if isinstance(claim, dict) else (None, None)
    return (first, offset) if type(first) is int and type(offset) is int else (-1, -1)
