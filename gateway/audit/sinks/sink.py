"""The seam between a worker and a second place of the log."""

from __future__ import annotations

from typing import Protocol

from gateway.audit.sinks.local import LocalLog
from gateway.audit.sinks.position import Piece, Position


class Sink(Protocol):
    """A second place. One thread calls it, in this order: connect, held, then puts; after a SinkError connect again.

    A put returns when what it was given is held and not before. It may hang: the worker's thread waits, nobody else.
    """

    @property
    def most_bytes(self) -> int:
        """About how much one piece may hold."""

    @property
    def window_s(self) -> float:
        """How long to gather records before they are put; 0: not at all."""

    @property
    def heads_every_s(self) -> float:
        """How often the signed heads are brought up to date."""

    def connect(self, local: LocalLog, known: Position | None) -> Position:
        """Where to go on, by what the sink itself holds. `known` was acknowledged before; less is a SinkConflict."""

    def held(self) -> dict[str, int]:
        """Name and size of the files besides the records that are there."""

    def put(self, piece: Piece) -> None:
        """Hold these records."""

    def put_file(self, name: str, data: bytes) -> None:
        """Hold a small file that never changes."""

    def put_history(self, name: str, offset: int, data: bytes) -> None:
        """Hold more of a growing file. For the heads: the last note in `data` is the newest."""

    def close(self) -> None:
        """Let go. Called after errors too; raises nothing."""
