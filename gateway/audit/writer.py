"""Turns waiting records into durable lines: number, link, encode, store, and only then count them.

One thread owns a BatchWriter. A batch that cannot be stored leaves no trace in the tree, so the next one takes the
same numbers. The writer adds its own records where the story would otherwise have a gap: a clock that stepped, a
segment that was lost.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.audit.checkpoints import CheckpointFiles
from gateway.audit.clock import Clock
from gateway.audit.errors import AuditUnavailable, RecordError, SegmentLost
from gateway.audit.merkle import Tree, leaf_hash
from gateway.audit.record import Json, encode_checked
from gateway.audit.store import Store

VERSION = 1
STEP_NS = 500_000_000
"""A wall clock that moved this far from the monotonic one was set by somebody."""
RESERVED = frozenset({"v", "origin", "seq", "prev", "ts", "mono", "boot", "inst", "continues"})


class Receipt(NamedTuple):
    """Proof of place: the record's number and the hash of its line."""

    seq: int
    leaf: bytes


@dataclass(slots=True)
class _Batch:
    data: bytes
    leaves: list[bytes]
    results: list[Receipt | RecordError]


def b64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


class BatchWriter:
    """The growing end of the log. Owned by one thread."""

    def __init__(
        self,
        store: Store,
        checkpoints: CheckpointFiles,
        clock: Clock,
        constants: Mapping[str, Json],
        tree: Tree,
        leaf: bytes,
        wall_ns: int,
    ) -> None:
        self._store, self._checkpoints, self._clock = store, checkpoints, clock
        self._constants = {"v": VERSION, **constants}
        self._tree, self._leaf = tree, leaf
        self._wall_ns, self._mono_ns = wall_ns, clock.mono_ns()
        self._drift_known = False
        self.head = (tree.size, tree.root())
        """Size and root of what is durable. Replaced whole, so that other threads read a matching pair."""

    def write(self, records: Sequence[Mapping[str, Json]]) -> list[Receipt | RecordError]:
        """Make records durable, in order. RecordError stands where one was refused; AuditUnavailable: none is kept."""
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.mono_ns()
        step = self._step_record(wall_ns, mono_ns)
        lost: SegmentLost | None = None
        for _ in range(2):
            own = [*step, *self._mishap_record()]
            batch = self._encode([*own, *records], wall_ns, mono_ns)
            try:
                if batch.data:
                    self._store.commit(self._tree.size, batch.data, wall_ns)
            except SegmentLost as exc:
                lost = exc
                continue
            self._adopt(batch, wall_ns, mono_ns)
            return batch.results[len(own) :]
        raise lost or AuditUnavailable("batch was not stored")

    def sign_head(self) -> None:
        """Store a checkpoint over everything durable."""
        self._checkpoints.write(*self.head, self._clock.wall_ns())

    def close(self) -> None:
        self._store.close()
        self._checkpoints.close()

    def _step_record(self, wall_ns: int, mono_ns: int) -> list[dict[str, Json]]:
        drift = (wall_ns - self._wall_ns) - (mono_ns - self._mono_ns)
        if wall_ns >= self._wall_ns and (not self._drift_known or abs(drift) < STEP_NS):
            return []
        clock: dict[str, Json] = {"from": str(self._wall_ns), "to": str(wall_ns)}
        return [{"type": "clock.step", "stage": "complete", "clock": clock}]

    def _mishap_record(self) -> list[dict[str, Json]]:
        mishap = self._store.mishap
        if mishap is None:
            return []
        record: dict[str, Json] = {"type": "audit.fail", "stage": "complete"}
        record["err"] = {"code": "segment_lost", "where": mishap.where}
        if mishap.continues is not None:
            record["continues"] = {"first": mishap.continues.first, "offset": mishap.continues.offset}
        return [record]

    def _encode(self, records: Sequence[Mapping[str, Json]], wall_ns: int, mono_ns: int) -> _Batch:
        seq, leaf = self._tree.size, self._leaf
        common = {**self._constants, "ts": str(wall_ns), "mono": str(mono_ns)}
        lines: list[bytes] = []
        leaves: list[bytes] = []
        results: list[Receipt | RecordError] = []
        for record in records:
            try:
                line = encode_checked({**record, **common, "seq": seq, "prev": b64(leaf)})
            except RecordError as exc:
                results.append(exc)
                continue
            leaf = leaf_hash(line)
            lines.append(line)
            leaves.append(leaf)
            results.append(Receipt(seq, leaf))
            seq += 1
        lines.append(b"")
        return _Batch(b"\n".join(lines), leaves, results)

    def _adopt(self, batch: _Batch, wall_ns: int, mono_ns: int) -> None:
        """The batch is durable: from here it is part of the log."""
        if not batch.leaves:
            return
        for leaf in batch.leaves:
            self._tree.push(leaf)
        self._leaf = batch.leaves[-1]
        self._wall_ns, self._mono_ns, self._drift_known = wall_ns, mono_ns, True
        self.head = (self._tree.size, self._tree.root())
