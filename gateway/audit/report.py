"""What a verification found, in words and in JSON, and the exit status that goes with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

NOT_CHECKED = (
    "epoch keys, segment seals, gaps between heartbeats, anchors outside this machine, whether the policy named was in "
    "force, sealed content, client receipts: this version has none of these checks"
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


@dataclass(slots=True)
class Report:
    """Result of one verification. Without a finding, everything named in the statement holds."""

    origin: str
    records: int = 0
    """Records that hold, from the first one on."""
    segments: int = 0
    signed: int = 0
    """Records covered by the newest checkpoint that holds."""
    signed_ns: int = 0
    root: str = ""
    checkpoints: int = 0
    open_exchanges: list[str] = field(default_factory=list)
    """Admitted and not finished at the end of the log: in progress, or cut off by a crash that no start followed."""
    notes: list[str] = field(default_factory=list)
    finding: Finding | None = None

    @property
    def exit(self) -> Exit:
        return Exit.PROVED if self.finding is None else self.finding.exit

    @property
    def statement(self) -> str:
        """Exactly what is proved, and what it rests on."""
        if self.finding is not None:
            return f"not proved: the first {self.records} records hold as far as they were read"
        window = self.records - self.signed
        tail = f"; the last {window} records are linked but not signed yet" if window else ""
        return (
            f"{self.records} records hold, 0 to {self.records - 1}, in {self.segments} segments; signed up to record "
            f"{self.signed - 1} at {iso(self.signed_ns)}{tail}; this rests on the log's own key alone: "
            "whoever held the key and the disk could have replaced the whole log"
        )

    def as_json(self) -> dict[str, object]:
        return {
            "exit": int(self.exit),
            "origin": self.origin,
            "records": self.records,
            "segments": self.segments,
            "checkpoints": self.checkpoints,
            "signed": self.signed,
            "signed_time": iso(self.signed_ns) if self.signed_ns else None,
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
