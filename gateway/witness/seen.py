"""What the witness saw last of each log: the only thing that it has to remember, and must never forget.

One file for each log, replaced by rename and synced with its directory before a cosignature leaves. Whoever can set
these files back can make the witness sign a second history; they belong where the gateway's root does not reach.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway.audit.errors import NoteError, RecordError
from gateway.audit.files import Files, OsFiles, make_directories, write_new_file
from gateway.audit.note import strict_b64
from gateway.audit.record import Json, canonical, parse_line
from gateway.audit.writer import b64
from gateway.witness.errors import WitnessError

_NO_EPOCH = -1


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest head that was cosigned."""

    origin: str
    size: int
    root: bytes
    time_ns: int
    """As the log says in the head; 0 if it does not."""
    epoch: int
    """Number of the epoch whose key signed it; -1 where the log key did."""
    epoch_key: bytes
    note: bytes
    """The head with the log's signature and ours."""

    def encoded(self) -> bytes:
        """As it is stored."""
        fields: dict[str, Json] = {"origin": self.origin, "size": self.size, "root": b64(self.root)}
        fields |= {"time": str(self.time_ns), "epoch": self.epoch, "epoch_key": b64(self.epoch_key)}
        return canonical({**fields, "note": self.note.decode()}) + b"\n"


class SeenFiles:
    """The files. Used by one thread at a time."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        """Lock the directory. WitnessError: another witness has it, or it cannot be used."""
        self._directory, self._files = directory, files or OsFiles()
        try:
            make_directories(self._files, directory)
            self._lock = self._files.open(directory / "LOCK", os.O_RDWR | os.O_CREAT)
            self._files.lock(self._lock)
        except BlockingIOError:
            raise WitnessError(f"`{directory}` is in use by another witness") from None
        except OSError as exc:
            raise WitnessError(f"`{directory}` cannot be used: {exc.strerror}") from exc

    def get(self, origin: str) -> Seen | None:
        """None if nothing was ever cosigned. WitnessError if that cannot be told: then nothing may be."""
        try:
            return _decoded(self._path(origin).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, RecordError, NoteError, KeyError, TypeError, ValueError) as exc:
            raise WitnessError(f"`{self._path(origin)}` cannot be read: what was seen is not known") from exc

    def put(self, seen: Seen) -> None:
        """Durable when it returns. OSError: nobody knows, so that nothing may leave."""
        write_new_file(self._files, self._path(seen.origin), seen.encoded())
        self._files.sync_directory(self._directory)

    def note(self, origin_hash: str) -> bytes | None:
        """The cosigned head of the log with this hash of its name."""
        path = self._directory / f"{origin_hash}.seen"
        return _decoded(path.read_bytes()).note if path.is_file() else None

    def close(self) -> None:
        self._files.close(self._lock)

    def _path(self, origin: str) -> Path:
        return self._directory / f"{sha256(origin.encode()).hexdigest()}.seen"


def _decoded(data: bytes) -> Seen:
    record = parse_line(data.removesuffix(b"\n"))
    size, epoch = record["size"], record["epoch"]
    if not isinstance(size, int) or not isinstance(epoch, int):
        raise TypeError("size or epoch is not a number")
    return Seen(
        origin=str(record["origin"]),
        size=size,
        root=strict_b64(str(record["root"]), 32),
        time_ns=int(str(record["time"])),
        epoch=epoch,
        epoch_key=strict_b64(str(record["epoch_key"]), 0 if epoch == _NO_EPOCH else 32),
        note=str(record["note"]).encode(),
    )
