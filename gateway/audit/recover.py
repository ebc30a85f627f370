"""What is on disk when the log is opened, and what has to be mended before anything is added.

A crash can leave one unfinished batch at the end: an incomplete line, or a hole where a write was lost. Those bytes
were never promised to anyone; they are moved aside and the log goes on. Everything else is refused: a complete line
that does not follow from the one before, a head that was signed but is not there any more. Nothing is changed on
disk before all checks have passed.

What was sealed before the newest segment is not read where resume.py knows the state there, and the log is not small.
Every other line is hashed; lines under the newest signed head need no parsing, as the head vouches for them. Where
anything does not fit, the whole log is read, so that what is said of it does not depend on what was noted.
Exchanges can only be open after the last `gateway.start`, because each start closes what it finds open.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path

from gateway.audit.epochs import EpochChain
from gateway.audit.errors import AuditError, NoteError, PackedError, RecordError
from gateway.audit.exchanges import OpenLines
from gateway.audit.files import Files, write_new_file
from gateway.audit.merkle import Tree, leaf_hash
from gateway.audit.note import Checkpoint
from gateway.audit.packed import PACKED, stored_size
from gateway.audit.record import Json, parse_line
from gateway.audit.resume import READ_WHOLE, Resume, find
from gateway.audit.seal import Seal, open_seal, seal_path
from gateway.audit.segments import (
    LONGEST,
    Segment,
    aside_path,
    claimed_end,
    is_complete,
    list_segments,
    raw_lines,
    starts_with_record,
)
from gateway.audit.store import Closed
from gateway.audit.writer import b64

NO_LEAF = bytes(32)
"""Stands for the leaf before the first record."""
_START, _EPOCH = b'"type":"gateway.start"', b'"type":"key.epoch"'


@dataclass(slots=True)
class Recovered:
    """Where the next record goes, and what it has to tell."""

    tree: Tree
    leaf: bytes
    wall_ns: int
    """Time of the last record, 0 in an empty log."""
    reports: list[dict[str, Json]] = field(default_factory=list)
    """Records to write before `gateway.start`: torn bytes, orphans."""
    epoch: int = 0
    """The last epoch that a record says has begun; a log begins in the first one without a record."""
    unsealed: Closed | None = None
    """The last segment, in a log whose segments have seals, if it has none yet."""
    opened: dict[str, dict[str, Json]] = field(default_factory=dict)
    """Exchanges that are open, to be closed by these reports."""


@dataclass(slots=True)
class _Scan:
    """Walks all lines once, in order."""

    strict_from: int
    """Lines from this number on are parsed and checked one by one; those before are only hashed."""
    checkpoint: Checkpoint | None
    tree: Tree = field(default_factory=Tree)
    leaf: bytes = NO_LEAF
    last_line: bytes = b""
    start: tuple[int, int] = (0, 0)
    """Segment and offset of the last `gateway.start`."""
    root_then: bytes | None = None
    """Root at the checkpoint's size."""
    epoch: int = 0
    opened: dict[str, dict[str, Json]] = field(default_factory=dict)
    """Exchanges that were open at `start`."""

    @classmethod
    def after(cls, skipped: int, resume: Resume, checkpoint: Checkpoint) -> _Scan:
        """Begin behind the segments that need not be read."""
        tree = Tree.of(resume.tree.size, resume.tree.peaks)
        start = (skipped, 0)
        return cls(checkpoint.size, checkpoint, tree, resume.leaf, b"", start, None, resume.epoch, resume.opened)

    def segment(self, index: int, segment: Segment, stop: int | None) -> int:
        """Read a segment's lines up to `stop`; returns the offset after the last complete one."""
        if segment.first != self.tree.size:
            problem = f"`{segment.path}` starts with record {segment.first}, expected {self.tree.size}"
            raise AuditError("audit_corrupt", problem)
        self._note_root()
        target = self.checkpoint.size if self.checkpoint is not None else -1
        offset = 0
        for number, raw in enumerate(raw_lines(segment.path, 0, stop), 1):
            if not raw.endswith(b"\n") or (self.tree.size >= target and b"\0" in raw):
                if len(raw) > LONGEST and b"\0" not in raw:
                    raise AuditError("audit_corrupt", f"`{segment.path}` line {number}: longer than any record")
                return offset
            line = raw[:-1]
            if self.tree.size >= self.strict_from:
                self._check(line, segment, number)
            if _START in line or _EPOCH in line:
                self._note_event(parse_line(line), index, offset)
            self.leaf, self.last_line = leaf_hash(line), line
            self.tree.push(self.leaf)
            offset += len(raw)
            if self.tree.size == target:
                self._note_root()
        return offset

    def _note_event(self, record: dict[str, Json], index: int, offset: int) -> None:
        kind, key = record["type"], record.get("key")
        if kind == "gateway.start":
            self.start, self.opened = (index, offset), {}
        elif kind == "key.epoch" and isinstance(key, dict) and type(key.get("epoch")) is int:
            self.epoch = int(str(key["epoch"]))

    def _note_root(self) -> None:
        if self.checkpoint is not None and self.tree.size == self.checkpoint.size:
            self.root_then = self.tree.root()

    def _check(self, line: bytes, segment: Segment, number: int) -> None:
        try:
            record = parse_line(line)
        except RecordError as exc:
            raise AuditError("audit_corrupt", f"`{segment.path}` line {number}: {exc}") from exc
        if record.get("seq") != self.tree.size:
            problem = f"has not the sequence number {self.tree.size}"
        elif record.get("prev") != b64(self.leaf):
            problem = "does not follow from the line before"
        else:
            return
        raise AuditError("audit_corrupt", f"`{segment.path}` line {number}: {problem}")


@dataclass(frozen=True, slots=True)
class _Examined:
    """A log that may go on, before anything is mended."""

    segments: list[Segment]
    dropped: list[Segment]
    """At its end, without a complete record."""
    scan: _Scan
    end: int
    """Where the last segment's last complete line ends."""
    is_sealed: bool


def examine(
    directory: Path, checkpoint: Checkpoint | None, chain: EpochChain | None = None, read_whole: int = READ_WHOLE
) -> _Examined:
    """Every check of a start, and nothing else. Raises AuditError or OSError."""
    try:
        return _examine(directory, checkpoint, chain, read_whole)
    except PackedError as exc:
        raise AuditError("audit_corrupt", f"`{exc.filename}` {exc.strerror}") from exc


def _examine(directory: Path, checkpoint: Checkpoint | None, chain: EpochChain | None, read_whole: int) -> _Examined:
    segments = list_segments(directory)
    dropped: list[Segment] = []
    while segments and not starts_with_record(segments[-1]):
        dropped.insert(0, segments.pop())
    seal = _seal_of(segments[-1], chain) if segments and chain is not None else None
    known = None
    if chain is not None and checkpoint is not None:
        known = find(directory, chain, segments, checkpoint.size, read_whole)
    skipped, scan = 0, _Scan(checkpoint.size if checkpoint is not None else 0, checkpoint)
    if known is not None and checkpoint is not None:
        skipped, scan = known[0], _Scan.after(*known, checkpoint)
    end = _scan(scan, segments, skipped, seal)
    return _Examined(segments, dropped, scan, end, seal is not None)


def recover(
    directory: Path,
    checkpoint: Checkpoint | None,
    files: Files,
    chain: EpochChain | None = None,
    read_whole: int = READ_WHOLE,
) -> Recovered:
    """Check the log in `directory`, mend its end, and say where to go on. Raises AuditError or OSError.

    With the chain of its epoch keys, a seal over the last segment is heeded, and a missing one reported.
    """
    log = examine(directory, checkpoint, chain, read_whole)
    segments, scan = log.segments, log.scan
    reports = [report for segment in log.dropped if (report := _drop(segment, files))]
    if segments and (report := _cut(segments[-1], log.end, files)):
        reports.append(report)
    opened = _opened(segments, scan.start, scan.opened)
    reports.extend(opened.values())
    wall_ns = int(str(parse_line(scan.last_line)["ts"])) if scan.last_line else 0
    unsealed = _closed(segments[-1], log.end) if segments and chain is not None and not log.is_sealed else None
    return Recovered(scan.tree, scan.leaf, wall_ns, reports, scan.epoch, unsealed, opened)


def _scan(scan: _Scan, segments: list[Segment], skipped: int, seal: Seal | None) -> int:
    """Walk the segments that have to be read; where the last one ends."""
    end = _walk(scan, segments, seal, skipped)
    if scan.checkpoint is not None:
        _check_head(scan, scan.checkpoint, segments, seal)
    if seal is not None and (end, scan.tree.size, scan.tree.root()) != (seal.size, seal.last + 1, seal.root):
        _walk(_Scan(0, None), segments, seal)
        raise AuditError("audit_corrupt", f"`{segments[-1].path}` is not what its seal says")
    return end


def _check_head(scan: _Scan, checkpoint: Checkpoint, segments: list[Segment], seal: Seal | None) -> None:
    signed = checkpoint.size
    if scan.tree.size < signed:
        _walk(_Scan(0, None), segments, seal)
        problem = f"{scan.tree.size} records on disk, but a signed checkpoint covers {signed}: history is missing"
        raise AuditError("audit_rollback", problem)
    if scan.root_then != checkpoint.root:
        _walk(_Scan(0, None), segments, seal)
        problem = f"the records are not those that the checkpoint of size {signed} was signed for"
        raise AuditError("audit_corrupt", problem)


def _walk(scan: _Scan, segments: list[Segment], seal: Seal | None, skipped: int = 0) -> int:
    end = 0
    for index, segment in enumerate(segments[skipped:], skipped):
        stop = claimed_end(segment, segments[index:])
        if segment is segments[-1] and seal is not None:
            # It was lost and sealed, and the segment that would have said so was never begun.
            stop = seal.size
        end = scan.segment(index, segment, stop)
        if segment is not segments[-1] and end != (stop if stop is not None else stored_size(segment.path)):
            raise AuditError("audit_corrupt", f"`{segment.path}` does not end with a complete line")
    return end


def _seal_of(segment: Segment, chain: EpochChain) -> Seal | None:
    """The seal of the last segment, which a crash may have left without one."""
    path = seal_path(segment.path)
    try:
        seal, _ = open_seal(path.read_bytes(), chain)
    except FileNotFoundError:
        return None
    except NoteError as exc:
        raise AuditError("audit_corrupt", f"`{path}`: {exc}") from exc
    return seal


def _closed(segment: Segment, end: int) -> Closed:
    with segment.path.open("rb") as file:
        return Closed(segment.path, segment.first, end, file_digest(file, "sha256").digest())


def _drop(segment: Segment, files: Files) -> dict[str, Json] | None:
    """Remove a segment in which no record was ever complete."""
    data = segment.path.read_bytes()
    if not data:
        files.unlink(segment.path)
        files.sync_directory(segment.path.parent)
        return None
    files.rename(segment.path, aside_path(segment.path, "torn"))
    files.sync_directory(segment.path.parent)
    return _torn_report(segment, data)


def _cut(segment: Segment, end: int, files: Files) -> dict[str, Json] | None:
    """Move what follows the last complete line aside, and make what stays durable before it is built upon."""
    if segment.path.suffix == PACKED:
        # It was sealed, and made durable, before it was compressed.
        return None
    with segment.path.open("rb") as file:
        file.seek(end)
        torn = file.read()
    descriptor = files.open(segment.path, os.O_WRONLY)
    try:
        if torn:
            write_new_file(files, aside_path(segment.path, "torn"), torn)
            files.sync_directory(segment.path.parent)
            files.truncate(descriptor, end)
        files.datasync(descriptor)
    finally:
        files.close(descriptor)
    return _torn_report(segment, torn) if torn else None


def _torn_report(segment: Segment, torn: bytes) -> dict[str, Json]:
    details: dict[str, Json] = {"first": segment.first, "torn_bytes": len(torn), "sha256": sha256(torn).hexdigest()}
    return {"type": "audit.recover", "stage": "complete", "recover": details}


def _opened(
    segments: list[Segment], start: tuple[int, int], before: dict[str, dict[str, Json]]
) -> dict[str, dict[str, Json]]:
    """One terminal record for every exchange that the crash cut off: of those open before, and of those since."""
    lines = OpenLines(before)
    for index, segment in enumerate(segments[start[0] :]):
        for raw in raw_lines(segment.path, start[1] if index == 0 else 0, claimed_end(segment, segments)):
            if is_complete(raw):
                lines.take(raw)
    return lines.finish()
