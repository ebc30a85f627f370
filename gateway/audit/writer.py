"""Turns waiting records into durable lines: number, link, encode, store, and only then count them.

One thread owns a BatchWriter. A batch that cannot be stored leaves no trace in the tree, so the next one takes the
same numbers. The writer adds its own records where the story would otherwise have a gap: a clock that stepped, a
segment that was lost, an epoch key that took over, a head that came late. In a log with epochs a closed segment is
sealed before the next one is begun.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from gateway.audit import resume
from gateway.audit.checkpoints import CheckpointFiles
from gateway.audit.clock import Clock
from gateway.audit.draft import Draft, Drafter, Times
from gateway.audit.epoch_keys import EpochKeys, Signing
from gateway.audit.epochs import EpochChain
from gateway.audit.errors import AuditError, AuditUnavailable, EpochMissing, RecordError, SegmentLost
from gateway.audit.exchanges import Change
from gateway.audit.merkle import Tree, leaf_hash
from gateway.audit.record import Json
from gateway.audit.resume import Resume
from gateway.audit.seal import Seal
from gateway.audit.store import Store

log = structlog.get_logger()
VERSION = 1
STEP_NS = 500_000_000
"""A wall clock that moved this far from the monotonic one was set by somebody."""
RETRY_NS = 1_000_000_000
LATE_NS = 75_000_000_000
"""Heads are signed every 60 s at least. A writer that finds its last one older says so; a verifier asks after 120 s."""
RESERVED = frozenset({"v", "origin", "seq", "prev", "ts", "mono", "boot", "inst", "continues"})


class Receipt(NamedTuple):
    """Proof of place: the record's number and the hash of its line."""

    seq: int
    leaf: bytes


class End(NamedTuple):
    """Where a log ends when its writer begins."""

    tree: Tree
    leaf: bytes
    wall_ns: int
    epoch: int
    """The last one that a record told of."""
    opened: dict[str, dict[str, Json]]
    """Exchanges that are open."""


@dataclass(slots=True)
class _Batch:
    data: bytes
    leaves: list[bytes]
    results: list[Receipt | RecordError]
    changes: list[tuple[int, Change]]
    """What opens, goes on with and ends exchanges."""


def b64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


class BatchWriter:
    """The growing end of the log. Owned by one thread."""

    def __init__(
        self,
        store: Store,
        checkpoints: CheckpointFiles,
        keys: EpochKeys,
        clock: Clock,
        constants: Mapping[str, Json],
        end: End,
    ) -> None:
        self._store, self._checkpoints, self._keys, self._clock = store, checkpoints, keys, clock
        self.drafter = Drafter({"v": VERSION, **constants})
        self._tree, self._leaf, self._wall_ns, self._opened = end.tree, end.leaf, end.wall_ns, end.opened
        self._told_epoch = end.epoch if keys.chain.version > 1 else keys.number
        self._mono_ns = self._alive_ns = clock.mono_ns()
        """`_alive_ns`: when the last head was signed, or a record said why there was none."""
        self._epoch_tried_ns = 0
        self._drift_known = False
        self.began_at = end.tree.size
        """Records that were there before this writer."""
        self.head = (end.tree.size, end.tree.root())
        """Size and root of what is durable. Replaced whole, so that other threads read a matching pair."""

    @property
    def signing(self) -> Signing:
        """The key that signs now. Any thread."""
        assert self._keys.current is not None  # a writer is not made before there is one
        return self._keys.current

    @property
    def chain(self) -> EpochChain:
        """All keys that have signed so far. Any thread."""
        return self._keys.chain

    def write(self, records: Sequence[Draft | Mapping[str, Json]]) -> list[Receipt | RecordError]:
        """Make records durable, in order. RecordError stands where one was refused; AuditUnavailable: none is kept."""
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.mono_ns()
        lost: SegmentLost | None = None
        for _ in range(2):
            own = self._own_records(wall_ns, mono_ns)
            batch = self._encode([*own, *records], wall_ns, mono_ns)
            try:
                if batch.data:
                    self._commit(batch.data, wall_ns)
            except SegmentLost as exc:
                log.warning("audit_segment_lost", problem=exc.problem)
                lost = exc
                continue
            self._tell_step(own, wall_ns, mono_ns)
            self._adopt(batch, wall_ns, mono_ns)
            return batch.results[len(own) :]
        raise lost or AuditUnavailable("batch was not stored")

    def sign_head(self) -> None:
        """Store a checkpoint over everything durable, by the key whose time it is."""
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.mono_ns()
        self._turn_epoch(self._checkpoints.time_ns(wall_ns), mono_ns)
        if self._own_records(wall_ns, mono_ns):
            self.write([])
        self._checkpoints.write(*self.head, wall_ns)
        self._alive_ns = mono_ns
        # The key before has done its last. An old one that cannot be removed now is tried again with the next head.
        with suppress(OSError):
            self._keys.erase_earlier()

    def require_key(self) -> None:
        """EpochMissing if no head could be signed now, so that nothing is worth writing; AuditUnavailable if what was
        signed before is not there any more."""
        self._checkpoints.require_untouched()
        time_ns = self._checkpoints.time_ns(self._clock.wall_ns())
        self._turn_epoch(time_ns, self._clock.mono_ns())
        self._keys.require(time_ns)

    def seal_segment(self) -> None:
        """End the segment that is open, and seal it."""
        self._store.end_segment()
        self._seal(self._checkpoints.time_ns(self._clock.wall_ns()))

    def close(self) -> None:
        self._store.close()
        self._checkpoints.close()

    def _turn_epoch(self, time_ns: int, mono_ns: int) -> None:
        """Begin the next epoch when it is due. While the present key may still sign, a failure can wait."""
        if not self._keys.is_due(time_ns) or mono_ns < self._epoch_tried_ns + RETRY_NS:
            return
        self._epoch_tried_ns = mono_ns
        try:
            following = self._keys.prepare(time_ns)
        except (AuditError, EpochMissing, OSError) as exc:
            if self._keys.can_sign(time_ns):
                return
            problem = exc.strerror if isinstance(exc, OSError) else exc.problem
            raise EpochMissing(f"the next epoch cannot begin: {problem}") from exc
        if self._keys.can_sign(time_ns):
            # The key under which the segment was written seals it; else the next one does.
            self._store.end_segment()
            self._seal(time_ns)
        self._keys.current = following

    def _commit(self, data: bytes, wall_ns: int) -> None:
        time_ns = self._checkpoints.time_ns(wall_ns)
        can_seal = self._keys.can_sign(time_ns)
        if self._told_epoch != self._keys.number:
            self._store.end_segment()
        elif can_seal:
            self._store.make_room(len(data), wall_ns)
        self._seal(time_ns)
        begins = self._store.begins
        self._store.commit(self._tree.size, data, wall_ns, grow=not can_seal)
        if begins and can_seal and self._tree.size and self._keys.chain.version > 1:
            self._note_state(time_ns)

    def _note_state(self, time_ns: int) -> None:
        """What a start has to know of everything before the segment that has begun."""
        state = Resume(
            origin=self._keys.name,
            tree=self._tree,
            leaf=self._leaf,
            wall_ns=self._wall_ns,
            epoch=self._told_epoch,
            opened=self._opened,
            time_ns=time_ns,
        )
        note = self._keys.require(time_ns).sign(state.text())
        resume.save(self._store.directory, self._tree.size, note)

    def _seal(self, time_ns: int) -> None:
        """Seal the closed segment, if there is one. The tree ends with its last record."""
        closed = self._store.closed
        if closed is None:
            return
        if self._keys.chain.version == 1:
            self._store.closed = None
            return
        size, root = self.head
        seal = Seal(self._keys.name, closed.first, size - 1, root, closed.size, closed.digest, time_ns)
        self._store.seal(self._keys.require(time_ns).sign(seal.text()))

    def _own_records(self, wall_ns: int, mono_ns: int) -> list[dict[str, Json]]:
        """What the log itself has to say before the next record."""
        return [*self._break_record(wall_ns, mono_ns), *self._epoch_record(), *self._late_record(mono_ns)]

    def _break_record(self, wall_ns: int, mono_ns: int) -> list[dict[str, Json]]:
        """A clock that was set, a segment that was lost; both in one, as either has to be in the first record."""
        record: dict[str, Json] = {}
        mishap = self._store.mishap
        if mishap is not None:
            record = {"type": "audit.fail", "stage": "complete", "err": {"code": "segment_lost", "where": mishap.where}}
            if mishap.continues is not None:
                record["continues"] = {"first": mishap.continues.first, "offset": mishap.continues.offset}
        drift = (wall_ns - self._wall_ns) - (mono_ns - self._mono_ns)
        if wall_ns < self._wall_ns or (self._drift_known and abs(drift) >= STEP_NS):
            clock: dict[str, Json] = {"from": str(self._wall_ns), "to": str(wall_ns)}
            record |= {"type": "clock.step", "stage": "complete", "clock": clock}
        return [record] if record else []

    def _epoch_record(self) -> list[dict[str, Json]]:
        if self._told_epoch == self._keys.number:
            return []
        key: dict[str, Json] = {"epoch": self._keys.number, "id": self.signing.epoch.key.key_id.hex()}
        return [{"type": "key.epoch", "stage": "complete", "key": key}]

    def _late_record(self, mono_ns: int) -> list[dict[str, Json]]:
        late_ns = mono_ns - self._alive_ns
        if late_ns <= LATE_NS:
            return []
        error: dict[str, Json] = {"code": "head_late", "where": "head", "late_ms": late_ns // 10**6}
        return [{"type": "audit.fail", "stage": "complete", "err": error}]

    def _tell_step(self, own: Sequence[Mapping[str, Json]], wall_ns: int, mono_ns: int) -> None:
        """To who looks after the clock: heads do not go back with it, nor do epochs begin before their time."""
        if any(record["type"] == "clock.step" for record in own):
            passed = mono_ns - self._mono_ns if self._drift_known else 0
            log.warning("clock_stepped", seconds=round((wall_ns - self._wall_ns - passed) / 1e9, 1))

    def _encode(self, records: Sequence[Draft | Mapping[str, Json]], wall_ns: int, mono_ns: int) -> _Batch:
        seq, leaf, times = self._tree.size, self._leaf, Times(b"%d" % wall_ns, b"%d" % mono_ns)
        lines: list[bytes] = []
        leaves: list[bytes] = []
        results: list[Receipt | RecordError] = []
        changes: list[tuple[int, Change]] = []
        for record in records:
            try:
                draft = record if isinstance(record, Draft) else self.drafter.draft(record)
                line = draft.line(seq, leaf, times)
            except RecordError as exc:
                results.append(exc)
                continue
            leaf = leaf_hash(line)
            lines.append(line)
            leaves.append(leaf)
            results.append(Receipt(seq, leaf))
            if draft.change is not None:
                changes.append((seq, draft.change))
            seq += 1
        lines.append(b"")
        return _Batch(b"\n".join(lines), leaves, results, changes)

    def _adopt(self, batch: _Batch, wall_ns: int, mono_ns: int) -> None:
        """The batch is durable: from here it is part of the log."""
        if not batch.leaves:
            return
        self._tree.extend(batch.leaves)
        for seq, change in batch.changes:
            change.apply(self._opened, seq)
        self._leaf = batch.leaves[-1]
        self._wall_ns, self._mono_ns, self._drift_known = wall_ns, mono_ns, True
        self._told_epoch = self._keys.number
        if mono_ns - self._alive_ns > LATE_NS:
            self._alive_ns = mono_ns
        self.head = (self._tree.size, self._tree.root())
