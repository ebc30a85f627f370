"""What one person must not do alone with sealed content, where the configuration says so: erase, or release a hold.

The gateway writes the statement, whose text says all of it; two approvers sign exactly that text
(gateway/approval.py), and the order brings their notes. A statement names the log, so an approval for one gateway is
none for another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway import approval
from gateway.approval import ApprovalError, Approvers
from gateway.content.holds import Hold
from gateway.entries import Record
from gateway.errors import Forbidden
from gateway.fields import wrong
from gateway.jsonstrict import Json

ACTIONS = ("erase", "release")
MOST_NOTES = 8


@dataclass(frozen=True, slots=True)
class Consent:
    """Of one gateway."""

    origin: str
    needed: frozenset[str] = frozenset()
    """Of ACTIONS, those that need two people."""
    approvers: Approvers = field(default_factory=dict)

    def erase(self, kind: str, value: str, reason: str) -> str:
        """The statement that somebody's or something's text is to be erased."""
        return self._statement("gatehouse-erase/v1", (f"{kind} {value}", f"reason {reason}"))

    def release(self, hold: Hold, reason: str) -> str:
        """The statement that a hold is to be released."""
        of_hold = (f"hold {hold.id}", f"on {hold.kind} {hold.value}", f"case {hold.case}")
        return self._statement("gatehouse-hold-release/v1", (*of_hold, f"reason {reason}"))

    def given(self, action: str, statement: str, notes: Json) -> Record:
        """The field of the record that says who approved. Raises Forbidden when too few did, where two are needed."""
        if notes is None and action not in self.needed:
            return {}
        if not isinstance(notes, list) and notes is not None:
            wrong("approvals", f"a list of at most {MOST_NOTES} signed notes")
        signed = [note.encode() for note in notes or [] if isinstance(note, str)]
        if len(signed) > MOST_NOTES:
            wrong("approvals", f"a list of at most {MOST_NOTES} signed notes")
        try:
            names = approval.check(statement, signed, self.approvers)
        except ApprovalError as exc:
            raise Forbidden("approval_missing", f"this needs two people: {exc}") from exc
        return {"approved_by": list[Json](names)}

    def _statement(self, kind: str, lines: Iterable[str]) -> str:
        return "\n".join((kind, f"origin {self.origin}", *lines)) + "\n"
