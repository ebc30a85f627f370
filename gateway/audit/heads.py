"""The signed history of a log, one note at a time beside the tree that grows from its records.

Each head has to be signed by a key whose time covers it; sizes, times and epochs do not go back. That alone does not
say that a head carries the key of *its* epoch: the caller tells which epoch the records had announced by then. A head
that an old key signed later, or a new one earlier, is found although its signature holds.

The history is read up to the size it had when it was opened, as the log may be growing. Memory: one note.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from os import SEEK_END
from pathlib import Path
from typing import IO

from gateway.audit.checkpoints import HISTORY, NEWEST
from gateway.audit.epochs import EpochChain, SignedHead
from gateway.audit.errors import NoteError
from gateway.audit.report import DoesNotHold, Exit, Finding

_LONGEST = 64 * 1024
"""Of a note with all its lines, so that a file of anything else is not read into memory."""


def notes_in(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Every complete note in the first `size` bytes: text, an empty line, signatures, an empty line."""
    note = b""
    while file.tell() < size and (line := file.readline(_LONGEST)):
        if line == b"\n" and b"\n\n" in note:
            yield note
            note = b""
            continue
        note += line
        if len(note) > _LONGEST:
            raise NoteError("history holds something that is not a note")


class SignedHeads:
    """Opened before anything else is read: what a running log adds meanwhile is then at worst not signed yet."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self.read = self.size = self.count = 0
        self.last: SignedHead | None = None
        self.next: SignedHead | None = None
        self.is_listed = False
        """Whether the newest head was seen in the history."""
        self._notes: Iterator[bytes] = iter(())
        self._newest: bytes | None = None
        with suppress(FileNotFoundError):
            self._newest = (directory / NEWEST).read_bytes()
        with suppress(FileNotFoundError):
            file = stack.enter_context((directory / HISTORY).open("rb"))
            self.size = file.seek(0, SEEK_END)
            file.seek(0)
            self._notes = notes_in(file, self.size)

    def begin(self, chain: EpochChain) -> None:
        """Read the first head. The chain is read after the sizes above were fixed, so it has every key they need."""
        self._chain = chain
        try:
            if self._newest is not None:
                chain.open_head(self._newest)
        except NoteError as exc:
            raise DoesNotHold(Finding(Exit.ALTERED, "checkpoint", NEWEST, "a signed checkpoint", str(exc))) from exc
        self.next = self._read(None)

    def advance(self) -> None:
        """Go on to the next head."""
        self.last = self.next
        self.next = self._read(self.last)

    def _read(self, before: SignedHead | None) -> SignedHead | None:
        try:
            note = next(self._notes, None)
            if note is None:
                return None
            self.count += 1
            self.read += len(note) + 1
            signed = self._chain.open_head(note)
        except NoteError as exc:
            found = f"{exc} in note {self.count}"
            raise DoesNotHold(Finding(Exit.ALTERED, "checkpoint", HISTORY, "a signed checkpoint", found)) from exc
        if before is not None:
            self._check_order(before, signed)
        self.is_listed = self.is_listed or note == self._newest
        return signed

    def _check_order(self, before: SignedHead, signed: SignedHead) -> None:
        was, head = before.head, signed.head
        if head.size < was.size:
            self._out_of_order(f"size {was.size} or more", f"size {head.size}", Exit.ROLLBACK)
        if head.time_ns < was.time_ns:
            self._out_of_order(f"time {was.time_ns} or later", f"time {head.time_ns}")
        if signed.epoch < before.epoch:
            self._out_of_order(f"epoch {before.epoch} or later", f"epoch {signed.epoch}")

    def _out_of_order(self, expected: str, found: str, exit_: Exit = Exit.ALTERED) -> None:
        raise DoesNotHold(Finding(exit_, "checkpoint_order", HISTORY, expected, f"{found} in note {self.count}"))

    def finish(self, size: int) -> str | None:
        """Nothing may be left when the records end at `size`. A note for people, if the history ends torn."""
        if self.next is not None:
            expected = f"{self.next.head.size} records, as signed in note {self.count}"
            raise DoesNotHold(Finding(Exit.ROLLBACK, "rollback", HISTORY, expected, f"{size}", seq=size))
        if self.last is None:
            raise DoesNotHold(Finding(Exit.INCOMPLETE, "checkpoint_missing", HISTORY, "signed checkpoints", "none"))
        if not self.is_listed:
            kind = Exit.INCOMPLETE if self._newest is None else Exit.ALTERED
            found = "no file" if self._newest is None else "another note"
            raise DoesNotHold(Finding(kind, "checkpoint", NEWEST, f"one of the notes in {HISTORY}", found))
        rest = self.size - self.read
        return f"{HISTORY}: {rest} bytes follow the last complete note: an unfinished write" if rest else None
