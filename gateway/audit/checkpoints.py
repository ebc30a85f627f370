"""The two files of signed heads: `checkpoint` holds the newest, `checkpoints.log` all of them.

The history is written and synced first, then the newest is put in place by rename, so a complete `checkpoint` is
always in the history too. A note cut short at the end of the history is what a crash leaves; it is removed by the
same code at start and after an error. Only data that was synced is ever covered: the caller signs after the sync.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gateway.audit.epoch_keys import EpochKeys
from gateway.audit.epochs import EpochChain, SignedHead
from gateway.audit.errors import AuditError, AuditUnavailable, NoteError, unavailable
from gateway.audit.files import Files, write_all, write_new_file
from gateway.audit.head_store import Head, HeadStore
from gateway.audit.note import Checkpoint

HISTORY, NEWEST = "checkpoints.log", "checkpoint"
_MARK = "— ".encode()
_LONGEST = 4096
"""More than any note of one signature, so that the last complete one is inside the file's last two such blocks."""


def last_note(history: bytes) -> tuple[bytes, int]:
    """The last complete note and the offset after it; no note and 0 if there is none."""
    end = history.rfind(b"\n\n")
    while end >= 0:
        line = history[history.rfind(b"\n", 0, end) + 1 : end]
        if line.startswith(_MARK):
            body_end = history.rfind(b"\n\n", 0, end)
            start = history.rfind(b"\n\n", 0, body_end)
            return history[start + 2 if start >= 0 else 0 : end + 1], end + 2
        end = history.rfind(b"\n\n", 0, end)
    return b"", 0


def _tail(path: Path) -> tuple[bytes, int]:
    """The end of the history and the offset where it begins."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - 2 * _LONGEST))
            return file.read(), start
    except FileNotFoundError:
        return b"", 0


def newest_checkpoint(directory: Path, chain: EpochChain) -> SignedHead | None:
    """The larger of the two files' last heads. One that does not verify stops the start."""
    found = []
    history, _ = _tail(directory / HISTORY)
    note, _ = last_note(history)
    if note:
        found.append(_opened(note, chain, directory / HISTORY))
    with suppress(FileNotFoundError):
        newest = (directory / NEWEST).read_bytes()
        found.append(_opened(newest, chain, directory / NEWEST))
        if newest + b"\n" not in history:
            # No crash does that: the history is synced before the other file is replaced.
            problem = f"`{directory / HISTORY}` lacks the head that `{NEWEST}` holds: it was cut or replaced"
            raise AuditError("audit_corrupt", problem)
    return max(found, key=lambda signed: (signed.head.size, signed.head.time_ns), default=None)


def _opened(note: bytes, chain: EpochChain, path: Path) -> SignedHead:
    try:
        return chain.open_head(note)
    except NoteError as exc:
        raise AuditError("audit_corrupt", f"`{path}`: {exc}") from exc


class CheckpointFiles:
    """Appends signed heads. Owned by the writer thread."""

    def __init__(
        self, files: Files, directory: Path, keys: EpochKeys, last: SignedHead | None, store: HeadStore | None = None
    ) -> None:
        self._files, self._directory, self._keys, self._store = files, directory, keys, store
        self._descriptor: int | None = None
        self._size = 0
        """Bytes of the history, while it is open."""
        self._time_ns = last.head.time_ns if last is not None else 0

    def time_ns(self, now_ns: int) -> int:
        """The time that a head would carry which is signed now. It never goes back, even if the clock did."""
        return max(now_ns, self._time_ns)

    def require_untouched(self) -> None:
        """Raise AuditUnavailable if the history is not what was written: heads already promised may be gone."""
        if self._descriptor is None:
            return
        try:
            held, named = self._files.state(self._descriptor), self._files.state_of_path(self._directory / HISTORY)
        except OSError as exc:
            raise unavailable(f"`{HISTORY}` is gone", exc) from exc
        if (held.device, held.inode) != (named.device, named.inode):
            raise AuditUnavailable(f"`{HISTORY}` was replaced by another file")
        if held.size != self._size:
            raise AuditUnavailable(f"`{HISTORY}` was changed: {held.size} bytes, expected {self._size}")

    def write(self, size: int, root: bytes, now_ns: int) -> None:
        """Sign and store the head, or raise AuditUnavailable."""
        self.require_untouched()
        checkpoint = Checkpoint(self._keys.name, size, root, self.time_ns(now_ns))
        signer = self._keys.require(checkpoint.time_ns)
        # The second place first: a signature that it does not know could be denied by setting the log back.
        if self._store is not None:
            self._store.swap(Head(size, root))
        note = signer.sign(checkpoint.text())
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            write_all(self._files, self._descriptor, note + b"\n")
            self._files.datasync(self._descriptor)
            self._size += len(note) + 1
            write_new_file(self._files, self._directory / NEWEST, note)
        except OSError as exc:
            self._reset()
            raise unavailable("checkpoint cannot be written", exc) from exc
        self._time_ns = checkpoint.time_ns

    def _open(self) -> int:
        path = self._directory / HISTORY
        tail, start = _tail(path)
        _, end = last_note(tail)
        if end == 0 and start > 0:
            raise OSError(0, f"`{HISTORY}` does not end in a note")
        descriptor = self._files.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            if len(tail) > end:
                self._files.truncate(descriptor, start + end)
            self._files.sync_directory(self._directory)
        except OSError:
            self._files.close(descriptor)
            raise
        self._size = start + end
        return descriptor

    def close(self) -> None:
        self._reset()
        if self._store is not None:
            self._store.close()

    def _reset(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        # Everything that mattered was synced before; a failing close has nothing left to lose.
        with suppress(OSError):
            if descriptor is not None:
                self._files.close(descriptor)
