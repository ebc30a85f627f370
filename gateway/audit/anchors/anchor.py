"""What an anchor is: a place that takes a signed head and gives something to show for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.audit.anchors.errors import AnchorError
from gateway.audit.checkpoints import NEWEST
from gateway.audit.epochs import EpochChain, certificate_path, load_chain
from gateway.audit.errors import NoteError
from gateway.audit.note import Checkpoint, VerifierKey
from gateway.audit.record import Json


@dataclass(frozen=True, slots=True)
class HeadNote:
    """A signed head and what goes with it."""

    note: bytes
    head: Checkpoint
    certificate: bytes
    """The certificate of the epoch key that signed it; empty where the log key did."""


class Anchor(Protocol):
    """Puts heads somewhere else. Owned by one thread; may block."""

    def put(self, head: HeadNote) -> dict[str, Json]:
        """Return, once the head is there for good, what `anchors.log` keeps beside it. Raises AnchorError."""

    def close(self) -> None:
        """Let go of connections."""


class Heads:
    """The newest head of a log, verified before it goes anywhere. Owned by one thread."""

    def __init__(self, directory: Path, key: VerifierKey) -> None:
        self._directory, self._key = directory, key
        self._chain: EpochChain | None = None

    def newest(self) -> HeadNote:
        """Raises AnchorError when there is none, or none that holds."""
        try:
            note = (self._directory / NEWEST).read_bytes()
            return self._opened(note)
        except (NoteError, OSError) as exc:
            raise AnchorError("anchor_not_ready", f"the newest head cannot be read: {exc}") from exc

    def _opened(self, note: bytes) -> HeadNote:
        try:
            return self._with(self._chain, note)
        except NoteError:
            # A key that is new since the last look; reading all certificates each time would cost more each day.
            self._chain = load_chain(self._directory, self._key)
            return self._with(self._chain, note)

    def _with(self, chain: EpochChain | None, note: bytes) -> HeadNote:
        if chain is None:
            raise NoteError("no keys were read yet")
        signed = chain.open_head(note)
        certificate = certificate_path(self._directory, signed.epoch).read_bytes() if chain.version > 1 else b""
        return HeadNote(note, signed.head, certificate)
