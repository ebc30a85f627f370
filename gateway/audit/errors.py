"""What can be wrong with the audit log, and who has to act on it.

    AuditError        the log cannot be opened; the process refuses to start, `.code` says why
    RecordError       a record does not fit the format; nothing was written, the caller has a bug
    AuditUnavailable  a record could not be made durable; what it would have permitted must not happen
      SegmentLost     the open segment can no longer be trusted; the batch may be tried once more in a new one
      NoRoom          the disk is full; with the reserve released it may do once more
      HeadConflict    another process signed heads of this log; nothing is signed or written any more
      EpochMissing    no key may sign at this time; the log goes on for some seconds without a signed head
    NoteError         a signed note or checkpoint does not hold
      EpochError      a certificate of an epoch key is missing or does not hold; `.code` says which
    TrustError        the trust root given by the caller cannot be read
    QueryError        a search asks for what there is not
    TileError         a tile is missing, torn or wrong; the records say what it should hold
    ProofError        a record cannot be proved, or a proof does not hold; `.code` says why

Codes of AuditError, stable: audit_dir_unwritable, audit_locked, audit_corrupt, audit_rollback, audit_key_missing,
audit_key_unsafe, audit_key_mismatch, audit_origin_mismatch, audit_head_store, audit_epoch_missing, audit_settings.
Messages name files, lines and sizes. They never carry the content of a record.
"""

from __future__ import annotations

import errno
from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class AuditError(Exception):
    """The log was not opened. Starting without it would mean answers without records."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code, self.problem = code, problem


class RecordError(ValueError):
    """The record was refused before anything was written; the others of its batch are not affected."""


class AuditUnavailable(Exception):
    """The record is not on disk, or nobody knows whether it is. Treat its effect as forbidden."""

    code = "audit_unavailable"

    def __init__(self, problem: str) -> None:
        super().__init__(f"audit log unavailable: {problem}")
        self.problem = problem


class Unconfirmed(AuditUnavailable):
    """The record is in the local log under this number, and in too few other places: nothing may come of it."""

    def __init__(self, problem: str, seq: int) -> None:
        super().__init__(problem)
        self.seq = seq


class SegmentLost(AuditUnavailable):
    """A sync or write error: the descriptor is closed for good, as a repeated fsync can succeed falsely."""


class NoRoom(AuditUnavailable):
    """The disk, or what this process may use of it, is full. Nothing was added."""


def is_full(exc: OSError) -> bool:
    """Whether the operation failed for want of room."""
    return exc.errno in _NO_ROOM


def unavailable(problem: str, exc: OSError) -> AuditUnavailable:
    """What a failed operation means for whoever waits for the log."""
    kind = NoRoom if is_full(exc) else AuditUnavailable
    return kind(f"{problem}: {exc.strerror}")


class HeadConflict(AuditUnavailable):
    """The head store holds a head that this process did not put there: a fork, which must not grow."""


class EpochMissing(AuditUnavailable):
    """There is no certified key for this time, and the log key is not here to certify one."""

    code = "audit_epoch_missing"


class NoteError(ValueError):
    """A signed note that is malformed, or not signed by the expected key."""


class EpochError(NoteError):
    """The chain of epoch keys does not hold. Codes: epoch_missing (a gap), epoch_certificate (one that is wrong)."""

    def __init__(self, code: str, file: str, problem: str) -> None:
        super().__init__(f"`{file}`: {problem}")
        self.code, self.file, self.problem = code, file, problem


class TrustError(ValueError):
    """The file that should hold the log's public key does not."""


class ProofError(Exception):
    """There is no proof. Codes: not_proved, not_signed_yet, proof_malformed, proof_unsigned, log_does_not_hold."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


class QueryError(Exception):
    """A search that cannot be answered as it is asked."""


class PackedError(OSError):
    """A compressed segment that cannot be read as what its seal says."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(errno.EBADMSG, problem, str(path))


class TileError(Exception):
    """The cache of hashes cannot be used. Nothing is lost: it is made again from the records."""
