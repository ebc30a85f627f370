"""Which key may sign a head of a log: the configured one, or an epoch key that it certified.

C2SP has a witness know the log's keys beforehand. A log of version 2 signs its heads with keys that change daily, so it
sends the key's certificate with the head (docs/audit-format.md). The log key's signature makes the key known; where
the epoch before is the one seen last, its key has to have signed, too, so that a stolen log key alone does not
continue a log here. Epochs never go back, an epoch has one key, and a log that has epochs has no head by its log key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.audit.epochs import ENDLESS, Epoch, parse_epoch
from gateway.audit.errors import NoteError
from gateway.audit.note import VerifierKey, open_note, parse_checkpoint, signing_ids, strict_b64
from gateway.witness.errors import Refused
from gateway.witness.seen import Seen

_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Head:
    """A head whose signature holds."""

    origin: str
    size: int
    root: bytes
    text: str
    time_ns: int
    epoch: int
    epoch_key: bytes


def origin_of(note: bytes) -> str:
    """What the note says it is about. Nothing is verified yet."""
    return note.partition(b"\n")[0].decode(errors="replace")


def opened(note: bytes, certificate: bytes, key: VerifierKey, seen: Seen | None) -> Head:
    """The head, if a key that may sign it did. Raises Refused."""
    try:
        if key.key_id in signing_ids(note, key.name):
            return _by_log_key(note, key, seen)
        if not certificate:
            raise NoteError("no signature by the log key, and no certificate of another one")
        return _by_epoch(note, certificate, key, seen)
    except NoteError as exc:
        raise Refused(403, str(exc)) from exc


def _by_log_key(note: bytes, key: VerifierKey, seen: Seen | None) -> Head:
    if seen is not None and seen.epoch != ENDLESS:
        raise NoteError("the heads of this log are signed by epoch keys")
    text = open_note(note, key)
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or _SIZE.fullmatch(lines[1]) is None:
        raise Refused(400, "the note is not a checkpoint")
    # The origin was found among the configured logs by this line.
    return Head(lines[0], int(lines[1]), _root(lines[2]), text, 0, ENDLESS, b"")


def _root(text: str) -> bytes:
    try:
        return strict_b64(text, 32)
    except NoteError as exc:
        raise Refused(400, "the root hash is not base64 of 32 bytes") from exc


def _by_epoch(note: bytes, certificate: bytes, key: VerifierKey, seen: Seen | None) -> Head:
    epoch = parse_epoch(open_note(certificate, key), key.name)
    if seen is not None:
        _require_later(epoch, certificate, key, seen)
    text = open_note(note, epoch.key)
    head = parse_checkpoint(text, key.name)
    if not epoch.covers(head.time_ns):
        raise NoteError(f"the head's time is outside epoch {epoch.number}")
    if seen is not None and head.time_ns < seen.time_ns:
        raise NoteError("the head's time is before that of the head seen last")
    return Head(head.origin, head.size, head.root, text, head.time_ns, epoch.number, epoch.key.key)


def _require_later(epoch: Epoch, certificate: bytes, key: VerifierKey, seen: Seen) -> None:
    if epoch.number < seen.epoch:
        raise NoteError(f"epoch {epoch.number} is over: epoch {seen.epoch} was seen")
    if epoch.number == seen.epoch and epoch.key.key != seen.epoch_key:
        raise NoteError(f"epoch {epoch.number} was seen with another key")
    if seen.epoch >= 0 and epoch.number == seen.epoch + 1:
        open_note(certificate, VerifierKey(key.name, seen.epoch_key))
