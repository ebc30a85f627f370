"""The chain of epoch keys, for everyone who reads a log: which key signed what, and whether it might at that time.

In a log of version 2 the log key signs nothing but `LOG` and these certificates, `keys/<epoch>.vkey`. Each names one
epoch key and its time, and is signed by the log key and by the epoch key before, so that neither whoever steals the
log key later nor whoever steals an epoch key can put in a key of his own. Heads, seals and receipts are signed by the
epoch key of their time. A log of version 1 has one endless epoch, number -1, whose key is the log key.

Nothing is read from here that was not verified against the key the caller gives. Private keys are in epoch_keys.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.birth import NAME, open_birth
from gateway.audit.errors import EpochError, NoteError, TrustError
from gateway.audit.note import Checkpoint, VerifierKey, open_note, parse_checkpoint, parse_vkey, signing_ids

FORMAT = "gatehouse-audit-epoch/v1"
DIRECTORY = "keys"
BEFORE_NS, AFTER_NS = 1_000_000_000, 60_000_000_000
"""How far outside its time a key may have signed: clocks, and a disk that was slow at the change."""
OVERLAP_NS = 60_000_000_000
ENDLESS = -1
"""Number of the one epoch of a log of version 1."""
_FILE = re.compile(r"([0-9]{8})\.vkey")
_EPOCH, _FROM, _UNTIL = (re.compile(rf"{word} (0|[1-9][0-9]{{0,19}})") for word in ("epoch", "from", "until"))


@dataclass(frozen=True, slots=True)
class Epoch:
    """One key and its time."""

    number: int
    from_ns: int
    until_ns: int
    key: VerifierKey

    def __post_init__(self) -> None:
        if self.from_ns >= self.until_ns:
            raise ValueError(f"epoch {self.number} ends before it begins")

    def text(self) -> str:
        """What the certificate says."""
        times = f"from {self.from_ns}\nuntil {self.until_ns}"
        return f"{FORMAT}\n{self.key.name}\nepoch {self.number}\n{times}\nkey {self.key.vkey}\n"

    def covers(self, time_ns: int) -> bool:
        """Whether a head or seal of that time may be signed by this key."""
        return self.from_ns - BEFORE_NS <= time_ns <= self.until_ns + AFTER_NS

    @property
    def label(self) -> str:
        """As receipts write it; `-` for the one epoch of version 1."""
        return str(self.number) if self.number >= 0 else "-"


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head that holds, and the number of the epoch whose key signed it."""

    head: Checkpoint
    epoch: int


@dataclass(frozen=True, slots=True)
class EpochChain:
    """All keys that may sign for a log, in order; verified."""

    version: int
    log_key: VerifierKey
    epochs: tuple[Epoch, ...]

    def key_for(self, key_id: bytes) -> Epoch | None:
        """The epoch whose key has this id (4 bytes)."""
        return next((epoch for epoch in self.epochs if epoch.key.key_id == key_id), None)

    def epoch(self, number: int) -> Epoch | None:
        """The epoch of this number."""
        return next((epoch for epoch in self.epochs if epoch.number == number), None)

    def open(self, note: bytes) -> tuple[str, Epoch]:
        """Text of a note that one epoch key signed, and which. NoteError if none did, or more than one."""
        ids = signing_ids(note, self.log_key.name)
        signers = [epoch for epoch in self.epochs if epoch.key.key_id in ids]
        if not signers:
            raise NoteError(f"note carries no signature by an epoch key of `{self.log_key.name}`")
        if len(signers) > 1:
            raise NoteError("note is signed by more than one epoch key")
        return open_note(note, signers[0].key), signers[0]

    def open_head(self, note: bytes) -> SignedHead:
        """A head whose signature holds and whose time its key covers. NoteError says what is wrong."""
        text, epoch = self.open(note)
        head = parse_checkpoint(text, self.log_key.name)
        require_time(epoch, head.time_ns)
        return SignedHead(head, epoch.number)


def require_time(epoch: Epoch, time_ns: int) -> None:
    """NoteError unless the epoch's key may have signed at that time."""
    if not epoch.covers(time_ns):
        raise NoteError(f"time {time_ns} is outside epoch {epoch.number}, {epoch.from_ns} to {epoch.until_ns}")


def endless_chain(log_key: VerifierKey) -> EpochChain:
    """The chain of a log of version 1."""
    return EpochChain(1, log_key, (Epoch(ENDLESS, 0, 2**64, log_key),))


def certificate_path(directory: Path, number: int) -> Path:
    """Where the certificate of an epoch lies in a log directory."""
    return directory / DIRECTORY / f"{number:08d}.vkey"


def load_chain(directory: Path, log_key: VerifierKey) -> EpochChain:
    """Read `LOG` and the certificates. NoteError: `LOG` does not hold; EpochError: a certificate; FileNotFoundError:
    there is no `LOG`. Fix how much of the heads you will read before you call this: the log may be growing.
    """
    if open_birth((directory / NAME).read_bytes(), log_key).version == 1:
        return endless_chain(log_key)
    return EpochChain(2, log_key, tuple(_read(directory, log_key)))


def _read(directory: Path, log_key: VerifierKey) -> Iterable[Epoch]:
    before: Epoch | None = None
    ids = {log_key.key_id}
    for number in _numbers(directory):
        path = certificate_path(directory, number)
        told = f"{DIRECTORY}/{path.name}"
        expected = before.number + 1 if before is not None else 0
        if number != expected:
            raise EpochError("epoch_missing", told, f"the certificate before is of epoch {expected - 1}")
        try:
            epoch = open_certificate(path.read_bytes(), number, log_key, before)
        except (NoteError, IsADirectoryError) as exc:
            problem = str(exc) if isinstance(exc, NoteError) else "a directory lies in its place"
            raise EpochError("epoch_certificate", told, problem) from exc
        if epoch.key.key_id in ids:
            raise EpochError("epoch_certificate", told, "its key has the id of an earlier one")
        ids.add(epoch.key.key_id)
        yield epoch
        before = epoch


def _numbers(directory: Path) -> list[int]:
    folder = directory / DIRECTORY
    names = [_FILE.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(match[1]) for match in names if match)


def open_certificate(note: bytes, number: int, log_key: VerifierKey, before: Epoch | None) -> Epoch:
    """The epoch that a certificate names, if both keys signed it and it follows from the one before."""
    text = open_note(note, log_key)
    if before is not None:
        open_note(note, before.key)
    epoch = parse_epoch(text, log_key.name)
    if epoch.number != number:
        raise NoteError(f"certificate is of epoch {epoch.number}, expected {number}")
    if before is not None:
        require_order(before, epoch)
    return epoch


def require_order(before: Epoch, epoch: Epoch) -> None:
    """NoteError unless one epoch's time follows the other's."""
    if epoch.from_ns < before.until_ns - OVERLAP_NS or epoch.from_ns < before.from_ns:
        raise NoteError(f"epoch {epoch.number} begins more than 60 s before epoch {before.number} ends")
    if epoch.until_ns < before.until_ns:
        raise NoteError(f"epoch {epoch.number} ends before epoch {before.number}")


def parse_epoch(text: str, origin: str) -> Epoch:
    """Read a certificate's text; the signatures are the caller's matter. NoteError if it is malformed."""
    lines = text.split("\n")
    if len(lines) != 7 or lines[0] != FORMAT or lines[6]:
        raise NoteError(f"certificate is not of the format `{FORMAT}`")
    numbers = [pattern.fullmatch(line) for pattern, line in zip((_EPOCH, _FROM, _UNTIL), lines[2:5], strict=True)]
    number, begin, end = (int(match[1]) if match else -1 for match in numbers)
    if lines[1] != origin or -1 in (number, begin, end) or not lines[5].startswith("key "):
        raise NoteError("certificate lines are malformed")
    try:
        key = parse_vkey(lines[5].removeprefix("key "))
        if key.name != origin or lines[5] != f"key {key.vkey}":
            raise NoteError("certificate holds a key of another name")
        return Epoch(number, begin, end, key)
    except (TrustError, ValueError) as exc:
        raise NoteError(f"certificate: {exc}") from exc
