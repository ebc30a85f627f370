"""What comes from outside the records: heads an auditor kept, anchors, receipts of clients, blobs of sealed content.

Local keys cannot speak against whoever holds them; these can. Everything here is turned into a claim about the tree at
one size, or about one leaf, and compared when the walk gets there: V8, V11 and V12. A head that the caller brought and
that this log does not lead to is a rollback or a fork, never a mere mistake in the log.

Lines in `anchors.log` are compared with the tree, but only cosignatures of witnesses whose key the caller names count
as an anchor: the file lies beside the log. Time stamp tokens say when a head existed, by authorities that the caller
names; they are no anchor, as another history can be stamped too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.audit.adopted import check_adoption
from gateway.audit.anchor_lines import AnchorLine, AnchorLines, read_anchor_lines
from gateway.audit.approved import Approvals, Approvers
from gateway.audit.blobs import Blobs
from gateway.audit.chunk import Event, Problem
from gateway.audit.cosignature import WitnessKey
from gateway.audit.epochs import EpochChain
from gateway.audit.errors import NoteError
from gateway.audit.note import Checkpoint
from gateway.audit.receipt import check_receipt, parse_receipt
from gateway.audit.report import DoesNotHold, Exit, Finding, Report

ANCHORS = "anchors.log"
MOST_AHEAD_NS = 60 * 10**9
"""A machine's clock may differ by so much from that of a time stamp authority."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the auditor brought to the verification."""

    checkpoints: tuple[Path, ...] = ()
    """Signed heads, kept where nobody at the gateway can write."""
    anchors: Path | None = None
    """Directory into which heads were dropped; those of the log lie in a folder of its name."""
    witnesses: tuple[WitnessKey, ...] = ()
    content: Path | None = None
    receipts: Path | None = None
    approvers: Approvers = field(default_factory=dict)
    """Public keys of the people whose approvals the log holds, by name."""
    stamps: OpensStamps | None = None
    """Whom to believe about times."""


class OpensStamps(Protocol):
    """stamps.py, whose package is an extra."""

    def open(self, token: bytes, message: bytes) -> tuple[int, str]:
        """Time and authority. Raises NoteError."""


class _Claim(NamedTuple):
    """A signed head that the log has to lead to."""

    size: int
    root: bytes
    source: str
    time_ns: int
    by: str
    """Who outside the machine vouches for it; empty for nobody whom the caller named."""
    stamp: tuple[int, str] | None = None
    """When it existed, and who says so."""

    @property
    def code(self) -> str:
        return "anchor" if self.source.startswith(ANCHORS) else "given_head"


class Evidence:
    """Claims in the order of their sizes. Opened before the records are read."""

    def __init__(self, directory: Path, given: Given) -> None:
        self._given = given
        self._directory = directory
        self._anchors = read_anchor_lines(directory / ANCHORS)
        self._blobs = Blobs(given.content) if given.content is not None else None
        self._named = _named(self._anchors)
        self._claims: list[_Claim] = []
        self._leaves: dict[int, tuple[bytes, str]] = {}
        self.anchored = (0, 0, "")
        """Size, time and source of the largest claim from outside that held."""
        self.stamped, self.tokens = (0, 0, ""), 0
        """The same of time stamps; and how many of them held."""
        self._lacking = ""
        """Where heads of this log should lie and none does."""
        self._ahead = 0
        """By how many ns a head was dated later than its time stamp says."""
        self.receipts = 0
        self._approvals: Approvals | None = None
        self._adopted: str | None = None
        """Digest of the statement of adoption, as the first record says."""

    @property
    def next_size(self) -> int | None:
        """At which size of the tree something is claimed next."""
        return self._claims[-1].size if self._claims else None

    def begin(self, chain: EpochChain) -> None:
        """Read what was given, now that the keys are known."""
        self._approvals = Approvals(chain.log_key.name, self._given.approvers)
        claims = [*self._given_heads(chain), *self._lines(chain)]
        self._claims = sorted(claims, key=lambda claim: claim.size, reverse=True)
        if self._given.receipts is not None:
            self._read_receipts(self._given.receipts, chain)

    def _note_stamps(self, report: Report) -> None:
        there = _stamps_in(self._anchors)
        if there and self._given.stamps is None:
            report.notes.append(f"{ANCHORS}: {there} time stamp tokens were not opened: give `--tsa-cert FILE`")
        elif not there and self._given.stamps is not None:
            report.notes.append(f"{ANCHORS}: there is no time stamp token, so that `--tsa-cert` proves nothing")
        if self._ahead > MOST_AHEAD_NS:
            told = f"dated {self._ahead // 10**9} s later than a time stamp says it existed: the clock was ahead"
            report.notes.append(f"{ANCHORS}: a head is {told}")

    def _given_heads(self, chain: EpochChain) -> Iterable[_Claim]:
        folder = chain.log_key.name.replace("/", "-")
        dropped: list[Path] = []
        if self._given.anchors is not None:
            dropped = sorted((self._given.anchors / folder).glob("*.checkpoint"))
            self._lacking = "" if dropped else str(self._given.anchors / folder)
        for path in (*self._given.checkpoints, *dropped):
            try:
                head = chain.open_head(path.read_bytes()).head
            except NoteError as exc:
                # If its key is one that the log does not have, then keys and heads were taken away together.
                expected = "a head signed by a key of this log"
                raise DoesNotHold(Finding(Exit.ROLLBACK, "given_head", path.name, expected, str(exc))) from exc
            yield _Claim(head.size, head.root, path.name, head.time_ns, path.name)

    def _lines(self, chain: EpochChain) -> Iterable[_Claim]:
        for number, line in enumerate(self._anchors.lines, 1):
            source = f"{ANCHORS}:{number}"
            try:
                head = chain.open_head(line.note).head
                if (head.size, head.root) != (line.size, line.root):
                    raise NoteError("`size` or `root` is not that of the head in `proof`")
            except NoteError as exc:
                raise DoesNotHold(Finding(Exit.ALTERED, "anchor", source, "a signed head", str(exc))) from exc
            seen_ns, by = self._cosigned(line, head.text(), source)
            yield _Claim(head.size, head.root, source, seen_ns, by, self._stamped(line, head, source))

    def _stamped(self, line: AnchorLine, head: Checkpoint, source: str) -> tuple[int, str] | None:
        """What a token says, if the caller knows whom to believe."""
        if line.token is None or self._given.stamps is None:
            return None
        try:
            time_ns, by = self._given.stamps.open(line.token, line.note)
        except NoteError as exc:
            expected = "a time stamp over the head in `proof`, by an authority that was given"
            raise DoesNotHold(Finding(Exit.ALTERED, "timestamp", source, expected, str(exc))) from exc
        self._ahead = max(self._ahead, head.time_ns - time_ns)
        return time_ns, by

    def _cosigned(self, line: AnchorLine, text: str, source: str) -> tuple[int, str]:
        """When a witness whose key the auditor gave saw this head, and which; no name if none of them did."""
        for witness in self._given.witnesses:
            for cosignature in line.cosignatures:
                if not witness.is_named_in(cosignature):
                    continue
                seconds = witness.seen_at(cosignature, text)
                if seconds is None:
                    expected = f"a cosignature by `{witness.name}` over the head in `proof`"
                    raise DoesNotHold(Finding(Exit.ALTERED, "cosignature", source, expected, "one that does not hold"))
                return seconds * 10**9, f"witness {witness.name}"
        return 0, ""

    def _read_receipts(self, path: Path, chain: EpochChain) -> None:
        for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if not text.strip():
                continue
            source = f"{path.name}:{number}"
            try:
                receipt = parse_receipt(text)
                check_receipt(receipt, chain)
            except NoteError as exc:
                expected = "a receipt signed by a key of this log"
                raise DoesNotHold(Finding(Exit.ROLLBACK, "receipt", source, expected, str(exc))) from exc
            before = self._leaves.setdefault(receipt.seq, (receipt.leaf, source))
            if before[0] != receipt.leaf:
                found = f"another leaf hash for record {receipt.seq} in {before[1]}"
                raise DoesNotHold(Finding(Exit.ROLLBACK, "receipt", source, "one record under each number", found))

    def take(self, seq: int, event: Event) -> Problem | None:
        """What a record says of anchors and content."""
        if event.kind == "checkpoint.anchor":
            told = event.told.get("anchor")
            named = json.dumps([told.get(name) for name in ("name", "kind", "size")] if isinstance(told, dict) else [])
            if named not in self._named:
                # The log may be growing: a line is written before the record that names it.
                self._named = _named(read_anchor_lines(self._directory / ANCHORS))
            if named not in self._named:
                return Problem("anchor_missing", f"the line in `{ANCHORS}` that the record names", "none")
        if event.kind == "audit.adopt" and seq == 0:
            adopt = event.told.get("adopt")
            digest = adopt.get("statement") if isinstance(adopt, dict) else None
            self._adopted = digest if isinstance(digest, str) else None
        problem = self._approvals.take(event) if self._approvals is not None else None
        return self._blobs.take(seq, event) if problem is None and self._blobs is not None else problem

    def check_leaves(self, base: int, leaves: list[bytes]) -> None:
        """V12: the records that receipts name."""
        for seq in [seq for seq in self._leaves if base <= seq < base + len(leaves)]:
            leaf, source = self._leaves.pop(seq)
            if leaves[seq - base] != leaf:
                expected = f"the record that was handed out as {seq}"
                raise DoesNotHold(Finding(Exit.ROLLBACK, "receipt", source, expected, "another record", seq=seq))
            self.receipts += 1

    def compare(self, size: int, root: bytes) -> None:
        """V8, when the tree has reached the size of a claim."""
        while self._claims and self._claims[-1].size == size:
            claim = self._claims.pop()
            if claim.root != root:
                expected = f"the root at size {size} that was kept"
                raise DoesNotHold(
                    Finding(Exit.ROLLBACK, claim.code, claim.source, expected, "another one", seq=size - 1)
                )
            if claim.by:
                self.anchored = max(self.anchored, (size, claim.time_ns, claim.by))
            if claim.stamp is not None:
                self.tokens += 1
                self.stamped = max(self.stamped, (size, *claim.stamp))

    def finish(self, size: int, report: Report) -> None:
        """What was claimed and has not been reached is missing."""
        if self._lacking:
            expected = "heads of this log, as a file anchor puts them there"
            raise DoesNotHold(Finding(Exit.INCOMPLETE, "anchor_missing", self._lacking, expected, "none"))
        if self._claims:
            claim = self._claims[-1]
            expected = f"at least the {claim.size} records that were anchored"
            found = f"{size} records"
            raise DoesNotHold(Finding(Exit.ROLLBACK, claim.code, claim.source, expected, found, seq=size))
        if self._leaves:
            seq = min(self._leaves)
            expected = f"record {seq}, which was handed out"
            raise DoesNotHold(Finding(Exit.ROLLBACK, "receipt", self._leaves[seq][1], expected, f"{size} records"))
        if self._anchors.torn:
            report.notes.append(f"{ANCHORS}: {self._anchors.torn} bytes follow the last complete line")
        check_adoption(self._directory, report, self._adopted, self._given.approvers)
        if self._approvals is not None:
            self._approvals.finish(report)
        report.anchored, report.anchored_ns, report.anchored_by = self.anchored
        report.stamped, report.stamped_ns, report.stamped_by = self.stamped
        report.tokens = self.tokens
        self._note_stamps(report)
        report.receipts, report.anchor_lines = self.receipts, len(self._anchors.lines)
        if self._blobs is not None:
            self._blobs.finish(report)


def _stamps_in(anchors: AnchorLines) -> int:
    return sum(line.token is not None for line in anchors.lines)


def _named(anchors: AnchorLines) -> set[str]:
    return {json.dumps([line.name, line.kind, line.size]) for line in anchors.lines}
