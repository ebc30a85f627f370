"""Reads a log cold and names the first entry that does not hold.

Trust comes from the caller: the public key and the log's name in the `.vkey` file. Nothing that lies in the log
directory is believed before it was checked against that. Memory does not grow with the log: some hashes of the tree,
the exchanges that are open, a few stretches of lines in flight, and one entry for each anchor and each thing the caller
wants compared. Large logs are checked on several cores; the outcome does not depend on how many.

The steps V1 to V12 are those of docs/audit-format.md. A line alone is chunk.py, records among each other story.py,
signed heads heads.py, closed segments sealed.py, what comes from outside the log evidence.py.
"""

from __future__ import annotations

import multiprocessing
from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gateway.audit.announced import or_missing_certificate
from gateway.audit.birth import NAME, open_birth
from gateway.audit.checkpoints import HISTORY
from gateway.audit.chunk import Chunk, Moment, Problem, check_chunk, check_order
from gateway.audit.epochs import EpochChain, load_chain
from gateway.audit.errors import EpochError, NoteError, PackedError, TrustError
from gateway.audit.evidence import Evidence, Given
from gateway.audit.heads import SignedHeads
from gateway.audit.merkle import Tree
from gateway.audit.note import VerifierKey, parse_vkey
from gateway.audit.packed import stored_size
from gateway.audit.recover import NO_LEAF
from gateway.audit.report import DoesNotHold, Exit, Finding, Report
from gateway.audit.sealed import check_seal, read_seal, require_packed
from gateway.audit.segments import Segment, claimed_end, list_segments, raw_lines
from gateway.audit.story import Story

CHUNK_BYTES = 512 * 1024
"""Larger ones are given back to the kernel after each, and asked for again."""
_NOT_THERE = frozenset({"anchor_missing", "approval_missing"})
"""Problems of a record whose evidence is missing and not wrong."""
SILENCE_NS = 120_000_000_000
"""Heads are signed each minute at least while a gateway runs."""


def load_trust(path: Path) -> VerifierKey:
    """The trust root. TrustError if the file is not one."""
    try:
        return parse_vkey(path.read_text())
    except (OSError, UnicodeDecodeError) as exc:
        raise TrustError(f"`{path}` cannot be read as a verifier key") from exc


def verify(
    directory: Path, key: VerifierKey, jobs: int = 1, chunk_bytes: int = CHUNK_BYTES, given: Given | None = None
) -> Report:
    """Check the whole log in `directory`, and what the caller brought. OSError if it cannot be read."""
    return _Verification(directory, key, chunk_bytes, given or Given()).run(jobs)


class _Verification:
    """One walk over the log, in order."""

    def __init__(self, directory: Path, key: VerifierKey, chunk_bytes: int, given: Given) -> None:
        self._directory, self._key, self._chunk_bytes, self._given = directory, key, chunk_bytes, given
        self._report = Report(origin=key.name)
        self._tree = Tree()
        self._leaf = NO_LEAF
        self._last: Moment | None = None
        self._claims: dict[int, int] = {}
        """Segments that end earlier than their file does, as the next one says."""
        self._seals: dict[int, bytes | None] = {}
        self._line = 0
        self._end = 0
        """Lines and bytes of the present segment that hold."""

    def run(self, jobs: int) -> Report:
        report = self._report
        with ExitStack() as stack:
            try:
                self._heads = SignedHeads(self._directory, stack)
                chain = self._load_chain()
                self._evidence = Evidence(self._directory, self._given)
                self._story = Story(chain)
                self._evidence.begin(chain)
                self._heads.begin(chain)
                self._compare()
                self._walk(jobs, stack, chain)
                self._check_end()
            except DoesNotHold as stop:
                report.finding = or_missing_certificate(self._directory, stop.finding)
        report.records = self._tree.size
        report.root = b64encode(self._tree.root()).decode()
        if hasattr(self, "_story"):
            report.open_exchanges = list(self._story.open)
        return report

    def _load_chain(self) -> EpochChain:
        """V1 and V2: `LOG` is of the caller's key, and certificates lead from there to each epoch key."""
        note = b""
        try:
            note = (self._directory / NAME).read_bytes()
            birth = open_birth(note, self._key)
            self._report.version, self._report.adopts = birth.version, birth.adopts
            return load_chain(self._directory, self._key)
        except FileNotFoundError:
            finding = Finding(Exit.INCOMPLETE, "log_note", NAME, "the log's signed note", "no file")
            raise DoesNotHold(finding) from None
        except EpochError as exc:
            kind = Exit.INCOMPLETE if exc.code == "epoch_missing" else Exit.ALTERED
            raise DoesNotHold(Finding(kind, exc.code, exc.file, "certificates without a gap", str(exc))) from exc
        except NoteError as exc:
            if f"\nkey {self._key.vkey}\n".encode() not in note:
                expected = f"a log of the trust root `{self._key.name}+{self._key.key_id.hex()}`"
                raise DoesNotHold(Finding(Exit.USAGE, "trust", NAME, expected, "another name or key")) from exc
            raise DoesNotHold(Finding(Exit.ALTERED, "log_note", NAME, "the log's signed note", str(exc))) from exc

    def _walk(self, jobs: int, stack: ExitStack, chain: EpochChain) -> None:
        segments = list_segments(self._directory)
        ends: dict[int, int] = {}
        tasks = self._tasks(segments, ends)
        for index, start, chunk in _checked(tasks, self._key.name, jobs, stack):
            segment = segments[index]
            if start == 0:
                require_packed(chain, segment, self._seals[index], self._tree.size)
                self._enter(segment, segments[index - 1] if index else None, chunk)
            self._fold(segment, chunk)
            if start + self._chunk_bytes >= ends[index]:
                is_last = index + 1 == len(segments)
                self._leave(segment, ends[index], is_last=is_last, claim=self._claims.get(index))
                if self._end > 0 and chain.version > 1:
                    root = self._tree.size, self._tree.root()
                    check_seal(chain, segment, self._seals[index], self._end, root, is_last=is_last)
                    self._report.seals += self._seals[index] is not None

    def _tasks(self, segments: list[Segment], ends: dict[int, int]) -> Iterator[_Task]:
        """Stretches to check. Each segment's end is fixed when its turn comes, and its seal, if any, before that."""
        for index, segment in enumerate(segments):
            claim = claimed_end(segment, segments[index:])
            self._seals[index] = read_seal(segment)
            ends[index] = self._size(segment)
            if claim is not None:
                ends[index] = min(ends[index], claim)
                self._claims[index] = claim
            for start in range(0, max(1, ends[index]), self._chunk_bytes):
                yield _Task(index, segment.path, start, min(start + self._chunk_bytes, ends[index]))

    @staticmethod
    def _size(segment: Segment) -> int:
        """Bytes of the segment; none of a compressed one that cannot be read, which is told when its turn comes."""
        with suppress(PackedError):
            return stored_size(segment.path)
        return 0

    def _enter(self, segment: Segment, before: Segment | None, chunk: Chunk) -> None:
        name, size = _name(segment), self._tree.size
        if segment.first != size:
            kind, code = (
                (Exit.INCOMPLETE, "segment_missing") if segment.first > size else (Exit.ALTERED, "segment_name")
            )
            raise DoesNotHold(
                Finding(kind, code, name, f"a segment that starts with record {size}", f"{segment.first}")
            )
        self._line = self._end = 0
        self._report.segments += 1
        if chunk.first is not None:
            self._require(segment, check_order(self._last, self._leaf, chunk.first))
        if chunk.continues is not None and (before is None or chunk.continues[0] != before.first):
            expected = f"`continues` to name segment {before.first if before is not None else None}"
            raise DoesNotHold(Finding(Exit.ALTERED, "continues", name, expected, f"{chunk.continues[0]}", 1, size, 0))

    def _fold(self, segment: Segment, chunk: Chunk) -> None:
        """Join a checked stretch to what came before it."""
        if chunk.first is not None:
            self._require(segment, check_order(self._last, self._leaf, chunk.first))
        base, count, problem = self._tree.size, len(chunk.leaves), chunk.problem
        for event in self._story.unusual(base, chunk.events):
            found = self._story.take(base + event.place, event, self._line + event.place + 1)
            if found is None and (event.told or event.content is not None):
                found = self._evidence.take(base + event.place, event)
            if found is not None:
                count, problem = event.place, found
                break
        self._grow(chunk.leaves[:count])
        self._line += count
        self._require(segment, problem)
        if chunk.last is not None:
            self._last, self._leaf, self._end = chunk.last, chunk.leaves[-1], chunk.end

    def _grow(self, leaves: list[bytes]) -> None:
        """Add leaves, stopping wherever something is known of the tree at that size."""
        base, done = self._tree.size, 0
        self._evidence.check_leaves(base, leaves)
        while (size := self._next_known()) is not None and size <= base + len(leaves):
            self._tree.extend(leaves[done : size - base])
            done = size - base
            self._compare()
        self._tree.extend(leaves[done:])

    def _next_known(self) -> int | None:
        known = [self._evidence.next_size, self._heads.next.head.size if self._heads.next is not None else None]
        return min((size for size in known if size is not None), default=None)

    def _require(self, segment: Segment, problem: Problem | None) -> None:
        """Stop if the line after those that hold has a problem."""
        if problem is None:
            return
        offset = sum(len(raw) for raw in islice(raw_lines(segment.path), self._line))
        exit_ = Exit.INCOMPLETE if problem.code in _NOT_THERE else Exit.ALTERED
        raise self._broken_here(segment, exit_, problem, offset)

    def _broken_here(self, segment: Segment, exit_: Exit, problem: Problem, offset: int) -> DoesNotHold:
        """At the line after those that hold."""
        line, seq = self._line + 1, self._tree.size
        finding = Finding(exit_, problem.code, _name(segment), problem.expected, problem.found, line, seq, offset)
        return DoesNotHold(finding)

    def _compare(self) -> None:
        """V6 to V8: what was signed or anchored at the tree's present size."""
        size = self._tree.size
        while (signed := self._heads.next) is not None and signed.head.size == size:
            self._compare_head(size)
            self._heads.advance()
        if self._evidence.next_size == size:
            self._evidence.compare(size, self._tree.root())

    def _compare_head(self, size: int) -> None:
        signed, before, count = self._heads.next, self._heads.last, self._heads.count
        assert signed is not None
        head, root = signed.head, self._tree.root()
        if head.root != root:
            expected = f"root {b64encode(head.root).decode()} at size {size}"
            found = f"root {b64encode(root).decode()}"
            raise DoesNotHold(Finding(Exit.ALTERED, "checkpoint_root", HISTORY, expected, found, seq=size - 1))
        if signed.epoch != (epoch := self._story.epoch_at(size)):
            expected = f"a signature by epoch {epoch}, which the records announced last"
            found = f"one by epoch {signed.epoch} in note {count}"
            raise DoesNotHold(Finding(Exit.ALTERED, "checkpoint_epoch", HISTORY, expected, found, seq=size - 1))
        silence = head.time_ns - before.head.time_ns if before is not None and self._report.version > 1 else 0
        if before is not None and silence > SILENCE_NS and not self._story.explains_silence(before.head.size, size):
            expected = "a signed head each 60 s, or a record of the time in which none was signed"
            found = f"{silence // 10**9} s without one before note {count}"
            raise DoesNotHold(Finding(Exit.INCOMPLETE, "idle", HISTORY, expected, found, seq=size - 1))
        self._report.signed, self._report.signed_ns, self._report.checkpoints = size, head.time_ns, count
        self._report.epoch = signed.epoch

    def _leave(self, segment: Segment, end: int, is_last: bool, claim: int | None) -> None:
        rest = end - self._end
        if self._end == claim or (rest <= 0 and claim is None):
            return
        if claim is not None:
            problem = Problem("continues", f"a line to end at byte {claim}, as the next segment says", "none")
            raise self._broken_here(segment, Exit.ALTERED, problem, self._end)
        if not is_last:
            problem = Problem("torn", "the end of the segment", f"{rest} bytes without a newline")
            raise self._broken_here(segment, Exit.ALTERED, problem, self._end)
        note = "an unfinished write, which the next start moves aside"
        self._report.notes.append(f"{_name(segment)}: {rest} bytes follow the last complete line: {note}")

    def _check_end(self) -> None:
        torn = self._heads.finish(self._tree.size)
        if torn is not None:
            self._report.notes.append(torn)
        self._evidence.finish(self._tree.size, self._report)


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
