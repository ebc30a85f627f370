"""What a verification found, in words and in JSON, and the exit status that goes with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

from gateway.audit.birth import Adopts

NOT_CHECKED = (
    "whether a legal hold forbade an erasure, votes of reviewers, and whether anything happened that was never recorded"
)


class Exit(IntEnum):
    """Exit status of `gatehouse audit verify`."""

    PROVED = 0
    PROVED_WITH_ERASURES = 1
    ALTERED = 2
    ROLLBACK = 3
    INCOMPLETE = 4
    USAGE = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that does not hold, and where."""

    exit: Exit
    code: str
    file: str
    expected: str
    found: str
    line: int | None = None
    seq: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        number = "" if self.seq is None else f" record {self.seq}:"
        return f"{place}:{number} {self.code}: expected {self.expected}, found {self.found}"


class DoesNotHold(Exception):
    """Carries a finding out of nested steps, for the verification to put into its report."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


@dataclass(slots=True)
class Report:
    """Result of one verification. Without a finding, everything named in the statement holds."""

    origin: str
    version: int = 1
    adopts: Adopts | None = None
    """The log that this one says it continues."""
    records: int = 0
    """Records that hold, from the first one on."""
    segments: int = 0
    seals: int = 0
    signed: int = 0
    """Records covered by the newest checkpoint that holds."""
    signed_ns: int = 0
    epoch: int = -1
    """Of the newest checkpoint; -1 where the log key signs."""
    root: str = ""
    checkpoints: int = 0
    anchored: int = 0
    """Records covered by the largest head that somebody outside the machine vouches for."""
    anchored_ns: int = 0
    anchored_by: str = ""
    anchor_lines: int = 0
    stamped: int = 0
    """Records covered by the largest head that a time stamp authority saw, of those whom the caller believes."""
    stamped_ns: int = 0
    stamped_by: str = ""
    tokens: int = 0
    """Time stamp tokens that hold."""
    receipts: int = 0
    blobs: int = 0
    erased: int = 0
    """Blobs that are gone with authority."""
    adopted_by: list[str] = field(default_factory=list)
    """Approvers of the adoption whose signatures the caller's keys prove."""
    approvals: int = 0
    """Records whose approvals the caller's keys prove."""
    open_exchanges: list[str] = field(default_factory=list)
    """Admitted and not finished at the end of the log: in progress, or cut off by a crash that no start followed."""
    notes: list[str] = field(default_factory=list)
    finding: Finding | None = None

    @property
    def exit(self) -> Exit:
        if self.finding is not None:
            return self.finding.exit
        return Exit.PROVED_WITH_ERASURES if self.erased else Exit.PROVED

    @property
    def statement(self) -> str:
        """Exactly what is proved, and what it rests on."""
        if self.finding is not None:
            return f"not proved: the first {self.records} records hold as far as they were read"
        head = f"{self.records} records, sizes 0 to {self.records}, in {self.segments} segments"
        signed = f"signed up to size {self.signed} at {iso(self.signed_ns)}"
        return f"{head}; {signed}{self._unsigned}; {self._anchored}{self._more}"

    @property
    def _unsigned(self) -> str:
        window = self.records - self.signed
        return f"; the last {window} records are linked but not signed yet" if window else ""

    @property
    def _anchored(self) -> str:
        if not self.anchored_by:
            return (
                "anchored to nothing that the caller brought: this rests on the log's own keys alone, and whoever held "
                "them and the disk could have replaced the whole log"
            )
        window = f"; the window after {self.anchored} rests on local keys only" if self.anchored < self.records else ""
        return f"anchored to {self.anchored} at {iso(self.anchored_ns)} by {self.anchored_by}{window}"

    @property
    def _more(self) -> str:
        """What else was asked for, or has to be told."""
        told = [
            (
                self.tokens,
                f"{self.tokens} time stamps hold: the head of size {self.stamped} existed at {iso(self.stamped_ns)}, "
                f"says {self.stamped_by}",
            ),
            (self.receipts, f"{self.receipts} receipts name records that are there"),
            (
                self.blobs or self.erased,
                f"{self.blobs} blobs of content are whole, {self.erased} were erased with authority",
            ),
            (self.approvals, f"{self.approvals} records carry approvals that hold"),
            (self.adopts, f"it continues the log {self.adopts}, which is not part of this proof"),
            (self.adopted_by, f"that was approved by {' and '.join(self.adopted_by)}"),
        ]
        return "".join(f"; {text}" for is_told, text in told if is_told)

    def as_json(self) -> dict[str, object]:
        return {
            "exit": int(self.exit),
            "origin": self.origin,
            "version": self.version,
            "adopts": str(self.adopts) if self.adopts is not None else None,
            "records": self.records,
            "segments": self.segments,
            "seals": self.seals,
            "checkpoints": self.checkpoints,
            "signed": self.signed,
            "signed_time": iso(self.signed_ns) if self.signed_ns else None,
            "epoch": self.epoch if self.epoch >= 0 else None,
            "anchored": self.anchored,
            "anchored_time": iso(self.anchored_ns) if self.anchored_ns else None,
            "anchored_by": self.anchored_by or None,
            "anchor_lines": self.anchor_lines,
            "stamped": self.stamped,
            "stamped_time": iso(self.stamped_ns) if self.stamped_ns else None,
            "stamped_by": self.stamped_by or None,
            "tokens": self.tokens,
            "receipts": self.receipts,
            "blobs": self.blobs,
            "erased": self.erased,
            "approvals": self.approvals,
            "adopted_by": self.adopted_by,
            "root": self.root,
            "open_exchanges": self.open_exchanges,
            "notes": self.notes,
            "findings": [asdict(self.finding)] if self.finding is not None else [],
            "statement": self.statement,
            "not_checked": NOT_CHECKED,
        }


def iso(time_ns: int) -> str:
    """UTC with milliseconds, as people read it."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03d}Z"
