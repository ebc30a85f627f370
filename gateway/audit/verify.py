"""Reads a log cold and names the first entry that does not hold.

Trust comes from the caller: the public key and the log's name in the `.vkey` file. Nothing that lies in the log
directory is believed before it was checked against that. Memory does not grow with the log: some hashes of the tree,
the exchanges that are open, and a few stretches of lines in flight. Large logs are checked on several cores; the
outcome does not depend on how many.

Steps V1, V4, V5, V6, V9 and V10 of the format are done, V3 without seals. report.py lists what is not there yet.
"""

from __future__ import annotations

import multiprocessing
from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice
from os import SEEK_END
from pathlib import Path
from typing import NamedTuple

from gateway.audit.checkpoints import HISTORY, NEWEST, read_notes
from gateway.audit.chunk import ADMIT, PROGRESS, START, Chunk, Event, Moment, Problem, check_chunk, check_order
from gateway.audit.errors import NoteError, TrustError
from gateway.audit.merkle import Tree
from gateway.audit.note import Checkpoint, VerifierKey, open_checkpoint, parse_vkey
from gateway.audit.origin import NAME, check_log_note
from gateway.audit.recover import NO_LEAF
from gateway.audit.report import Exit, Finding, Report
from gateway.audit.segments import Segment, claimed_end, list_segments, raw_lines

CHUNK_BYTES = 4 * 1024 * 1024


def load_trust(path: Path) -> VerifierKey:
    """The trust root. TrustError if the file is not one."""
    try:
        return parse_vkey(path.read_text())
    except (OSError, UnicodeDecodeError) as exc:
        raise TrustError(f"`{path}` cannot be read as a verifier key") from exc


def verify(directory: Path, key: VerifierKey, jobs: int = 1, chunk_bytes: int = CHUNK_BYTES) -> Report:
    """Check the whole log in `directory`. OSError if it cannot be read."""
    return _Verification(directory, key, chunk_bytes).run(jobs)


class _Stop(Exception):  # carries a finding out of nested steps; it is a result, not an error
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


class _Heads:
    """The signed history as it was when the verification began, one note at a time beside the tree."""

    def __init__(self, directory: Path, key: VerifierKey, stack: ExitStack) -> None:
        self._key = key
        self._newest = _read_newest(directory, key)
        self.listed = False
        """Whether the newest head was seen in the history."""
        self.read = self.size = self.count = 0
        self.last: Checkpoint | None = None
        self._notes: Iterator[bytes] = iter(())
        with suppress(FileNotFoundError):
            file = stack.enter_context((directory / HISTORY).open("rb"))
            self.size = file.seek(0, SEEK_END)
            file.seek(0)
            self._notes = read_notes(file, self.size)
        self.next = self._read(None)

    def advance(self) -> None:
        self.last = self.next
        self.next = self._read(self.last)

    def _read(self, before: Checkpoint | None) -> Checkpoint | None:
        try:
            note = next(self._notes, None)
            if note is None:
                return None
            self.count += 1
            self.read += len(note) + 1
            head = open_checkpoint(note, self._key)
        except NoteError as exc:
            found = f"{exc} in note {self.count}"
            raise _Stop(Finding(Exit.ALTERED, "checkpoint", HISTORY, "a signed checkpoint", found)) from exc
        if before is not None:
            self._check_order(before, head)
        self.listed = self.listed or note == self._newest
        return head

    def _check_order(self, before: Checkpoint, head: Checkpoint) -> None:
        if head.size < before.size:
            found = f"size {head.size} in note {self.count}"
            raise _Stop(Finding(Exit.ROLLBACK, "checkpoint_order", HISTORY, f"size {before.size} or more", found))
        if head.time_ns < before.time_ns:
            expected, found = f"time {before.time_ns} or later", f"time {head.time_ns} in note {self.count}"
            raise _Stop(Finding(Exit.ALTERED, "checkpoint_order", HISTORY, expected, found))


def _read_newest(directory: Path, key: VerifierKey) -> bytes | None:
    try:
        note = (directory / NEWEST).read_bytes()
        open_checkpoint(note, key)
    except FileNotFoundError:
        return None
    except NoteError as exc:
        raise _Stop(Finding(Exit.ALTERED, "checkpoint", NEWEST, "a signed checkpoint", str(exc))) from exc
    return note


class _Verification:
    """One walk over the log, in order."""

    def __init__(self, directory: Path, key: VerifierKey, chunk_bytes: int) -> None:
        self._directory, self._key, self._chunk_bytes = directory, key, chunk_bytes
        self._report = Report(origin=key.name)
        self._tree = Tree()
        self._leaf = NO_LEAF
        self._last: Moment | None = None
        self._open: dict[str, int] = {}
        self._claims: dict[int, int] = {}
        """Segments that end earlier than their file does, as the next one says."""
        self._line = 0
        self._end = 0
        """Lines and bytes of the present segment that hold."""

    def run(self, jobs: int) -> Report:
        with ExitStack() as stack:
            try:
                self._check_log_note()
                # Heads before records: what a running log adds meanwhile is then at worst not signed yet.
                self._heads = _Heads(self._directory, self._key, stack)
                self._reach_heads()
                self._walk(jobs, stack)
                self._check_end()
            except _Stop as stop:
                self._report.finding = stop.finding
        self._report.records = self._tree.size
        self._report.root = b64encode(self._tree.root()).decode()
        self._report.open_exchanges = list(self._open)
        return self._report

    def _check_log_note(self) -> None:
        try:
            note = (self._directory / NAME).read_bytes()
            check_log_note(note, self._key)
        except FileNotFoundError:
            finding = Finding(Exit.INCOMPLETE, "log_note", NAME, "the log's signed note", "no file")
            raise _Stop(finding) from None
        except NoteError as exc:
            foreign = f"\nkey {self._key.vkey}\n".encode() not in note
            if foreign:
                expected = f"a log of the trust root `{self._key.name}+{self._key.key_id.hex()}`"
                raise _Stop(Finding(Exit.USAGE, "trust", NAME, expected, "another name or key")) from exc
            raise _Stop(Finding(Exit.ALTERED, "log_note", NAME, "the log's signed note", str(exc))) from exc

    def _walk(self, jobs: int, stack: ExitStack) -> None:
        segments = list_segments(self._directory)
        ends: dict[int, int] = {}
        tasks = self._tasks(segments, ends)
        for index, start, chunk in _checked(tasks, self._key.name, jobs, stack):
            segment = segments[index]
            if start == 0:
                self._enter(segment, segments[index - 1] if index else None, chunk)
            self._fold(segment, chunk)
            if start + self._chunk_bytes >= ends[index]:
                self._leave(segment, ends[index], is_last=index + 1 == len(segments), claim=self._claims.get(index))

    def _tasks(self, segments: list[Segment], ends: dict[int, int]) -> Iterator[_Task]:
        """Stretches to check. Each segment's end is fixed when its turn comes."""
        for index, segment in enumerate(segments):
            claim = claimed_end(segment, segments[index:])
            ends[index] = segment.path.stat().st_size
            if claim is not None:
                ends[index] = min(ends[index], claim)
                self._claims[index] = claim
            for start in range(0, max(1, ends[index]), self._chunk_bytes):
                yield _Task(index, segment.path, start, min(start + self._chunk_bytes, ends[index]))

    def _enter(self, segment: Segment, before: Segment | None, chunk: Chunk) -> None:
        name, size = _name(segment), self._tree.size
        if segment.first != size:
            kind, code = (
                (Exit.INCOMPLETE, "segment_missing") if segment.first > size else (Exit.ALTERED, "segment_name")
            )
            raise _Stop(Finding(kind, code, name, f"a segment that starts with record {size}", f"{segment.first}"))
        if chunk.continues is not None and (before is None or chunk.continues[0] != before.first):
            expected = f"`continues` to name segment {before.first if before is not None else None}"
            raise _Stop(Finding(Exit.ALTERED, "continues", name, expected, f"{chunk.continues[0]}", 1, size, 0))
        self._line = self._end = 0
        self._report.segments += 1

    def _fold(self, segment: Segment, chunk: Chunk) -> None:
        """Join a checked stretch to what came before it."""
        if chunk.first is not None:
            self._require(segment, check_order(self._last, self._leaf, chunk.first))
        events = iter(chunk.events)
        event = next(events, None)
        for index, leaf in enumerate(chunk.leaves):
            if event is not None and event.place == index:
                self._require(segment, self._pair(event))
                event = next(events, None)
            self._tree.push(leaf)
            self._line += 1
            if self._heads.next is not None and self._heads.next.size == self._tree.size:
                self._reach_heads()
        if chunk.last is not None:
            self._last, self._leaf, self._end = chunk.last, chunk.leaves[-1], chunk.end
        self._require(segment, chunk.problem)

    def _require(self, segment: Segment, problem: Problem | None) -> None:
        """Stop if the line after those that hold has a problem."""
        if problem is None:
            return
        offset = sum(len(raw) for raw in islice(raw_lines(segment.path), self._line))
        place = (self._line + 1, self._tree.size, offset)
        raise _Stop(Finding(Exit.ALTERED, problem.code, _name(segment), problem.expected, problem.found, *place))

    def _pair(self, event: Event) -> Problem | None:
        """Every admitted exchange ends exactly once, and a start leaves none behind."""
        if event.kind == START:
            if not self._open:
                return None
            request = next(iter(self._open))
            return Problem("pairing", f"an end of request {request} before the next start", "none")
        if event.kind == ADMIT:
            if event.request in self._open:
                return Problem("pairing", "each request admitted once", f"request {event.request} admitted again")
            self._open[event.request] = self._tree.size
            return None
        if event.request not in self._open and not event.may_be_first:
            return Problem("pairing", "an open request", f"request {event.request}, which is not open")
        if event.kind != PROGRESS:
            self._open.pop(event.request, None)
        return None

    def _reach_heads(self) -> None:
        """Compare the tree with every head signed at its present size."""
        while (head := self._heads.next) is not None and head.size == self._tree.size:
            root = self._tree.root()
            if head.root != root:
                expected = f"root {b64encode(head.root).decode()} at size {head.size}"
                found = f"root {b64encode(root).decode()}"
                raise _Stop(Finding(Exit.ALTERED, "checkpoint_root", HISTORY, expected, found, seq=head.size - 1))
            self._report.signed, self._report.signed_ns = head.size, head.time_ns
            self._report.checkpoints = self._heads.count
            self._heads.advance()

    def _leave(self, segment: Segment, end: int, is_last: bool, claim: int | None) -> None:
        rest = end - self._end
        if self._end == claim or (rest <= 0 and claim is None):
            return
        place = (self._line + 1, self._tree.size, self._end)
        if claim is not None:
            expected = f"a line to end at byte {claim}, as the next segment says"
            raise _Stop(Finding(Exit.ALTERED, "continues", _name(segment), expected, "none", *place))
        if not is_last:
            found = f"{rest} bytes without a newline"
            raise _Stop(Finding(Exit.ALTERED, "torn", _name(segment), "the end of the segment", found, *place))
        note = "an unfinished write, which the next start moves aside"
        self._report.notes.append(f"{_name(segment)}: {rest} bytes follow the last complete line: {note}")

    def _check_end(self) -> None:
        head, size = self._heads.next, self._tree.size
        if head is not None:
            expected = f"{head.size} records, as signed in note {self._heads.count}"
            raise _Stop(Finding(Exit.ROLLBACK, "rollback", HISTORY, expected, f"{size}", seq=size))
        if self._heads.last is None:
            raise _Stop(Finding(Exit.INCOMPLETE, "checkpoint_missing", HISTORY, "signed checkpoints", "none"))
        if not self._heads.listed:
            kind = Exit.ALTERED if (self._directory / NEWEST).exists() else Exit.INCOMPLETE
            found = "another note" if kind is Exit.ALTERED else "no file"
            raise _Stop(Finding(kind, "checkpoint", NEWEST, f"one of the notes in {HISTORY}", found))
        if self._heads.size > self._heads.read:
            rest = self._heads.size - self._heads.read
            self._report.notes.append(f"{HISTORY}: {rest} bytes follow the last complete note: an unfinished write")


def _name(segment: Segment) -> str:
    return f"seg/{segment.path.name}"


class _Task(NamedTuple):
    segment: int
    path: Path
    start: int
    stop: int


def _checked(tasks: Iterator[_Task], origin: str, jobs: int, stack: ExitStack) -> Iterator[tuple[int, int, Chunk]]:
    """Checked stretches in the order of the tasks, a few of them in flight at a time."""
    if jobs <= 1:
        for task in tasks:
            yield task.segment, task.start, check_chunk(task.path, task.start, task.stop, origin)
        return
    pool = stack.enter_context(ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")))
    stack.callback(pool.shutdown, cancel_futures=True)
    waiting: deque[tuple[_Task, Future[Chunk]]] = deque()
    for task in tasks:
        waiting.append((task, pool.submit(check_chunk, task.path, task.start, task.stop, origin)))
        if len(waiting) >= 2 * jobs:
            done, future = waiting.popleft()
            yield done.segment, done.start, future.result()
    for done, future in waiting:
        yield done.segment, done.start, future.result()
