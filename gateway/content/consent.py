"""What one person must not do alone with sealed content, where the configuration says so: erase, or release a hold.

The gateway writes the statement, whose text says all of it; two approvers sign exactly that text
(gateway/approval.py), and the order brings their notes. A statement names the log, so an approval for one gateway is
none for another. It has a number and an end, so that it stands behind one deed and not behind the next one like it: the
key store remembers numbers that were used. The record keeps what was signed, for auditors to check.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from gateway import approval
from gateway.approval import ApprovalError, Approvers
from gateway.audit.approved import blobs_line
from gateway.content.holds import Hold
from gateway.entries import Record
from gateway.errors import Forbidden
from gateway.fields import wrong
from gateway.jsonstrict import Json

ACTIONS = ("erase", "release")
MOST_NOTES = 8
VALID_S: Final = 7 * 24 * 3600
"""How long after it was written a statement may be used."""
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody wants to do."""

    action: str
    """One of ACTIONS."""
    lines: tuple[str, ...]
    """Of the statement, all but its number and its end."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Who agreed to a deed, if anybody had to."""

    fields: Record = field(default_factory=dict)
    """For the record."""
    number: str = ""
    """Of the statement: to be used up with the deed. Empty if nobody signed one."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Of one gateway."""

    origin: str
    needed: frozenset[str] = frozenset()
    """Of ACTIONS, those that need two people."""
    approvers: Approvers = field(default_factory=dict)
    clock: Callable[[], float] = time.time

    def erase_person(self, token: str, reason: str) -> Deed:
        """Everything of a person is to be erased, whatever that is by then."""
        return self._deed("erase", "gatehouse-erase/v2", f"subject {token}", f"reason {reason}")

    def erase_request(self, what: str, refs: Iterable[str], reason: str) -> Deed:
        """These blobs of a request are to be erased, and no others."""
        return self._deed("erase", "gatehouse-erase/v2", f"request {what}", blobs_line(refs), f"reason {reason}")

    def release(self, hold: Hold, reason: str) -> Deed:
        """A hold is to be released."""
        of_hold = (f"hold {hold.id}", f"on {hold.kind} {hold.value}", f"case {hold.case}")
        return self._deed("release", "gatehouse-hold-release/v2", *of_hold, f"reason {reason}")

    def statement(self, deed: Deed) -> str:
        """What two people have to sign for it, made anew each time."""
        until = datetime.fromtimestamp(int(self.clock()) + VALID_S, UTC).strftime(_TIME)
        return "\n".join((*deed.lines, f"number {secrets.token_hex(16)}", f"until {until}")) + "\n"

    def given(self, deed: Deed, notes: Json) -> Agreed:
        """Who agreed. Raises Forbidden when too few did, where two are needed, or to something else."""
        if notes is None and deed.action not in self.needed:
            return Agreed()
        if (not isinstance(notes, list) and notes is not None) or len(notes or ()) > MOST_NOTES:
            wrong("approvals", f"a list of at most {MOST_NOTES} signed notes")
        signed = [note if isinstance(note, str) else "" for note in notes or []]
        try:
            statement = signed[0].rpartition("\n\n")[0] + "\n" if signed else ""
            number = self._number(deed, statement)
            names = approval.check(statement, [note.encode() for note in signed], self.approvers)
        except (ApprovalError, UnicodeEncodeError) as exc:
            raise Forbidden("approval_missing", f"this needs two people: {exc}") from exc
        said: Record = {"statement": statement, "signatures": list[Json](_signatures(signed))}
        return Agreed({"approved_by": list[Json](names), "approval": said}, number)

    def _number(self, deed: Deed, statement: str) -> str:
        """The number of a statement of this deed that may still be used. Raises ApprovalError for any other text."""
        if not statement:
            raise ApprovalError(f"approved by nobody, expected {approval.NEED} different approvers")
        *lines, number_line, until_line, end = ("", "", *statement.split("\n"))
        number, until = number_line.partition(" "), until_line.partition(" ")
        if (tuple(lines[2:]), number[0], until[0], end) != (deed.lines, "number", "until", ""):
            raise ApprovalError("what was approved is something else than what is to be done now")
        if len(number[2]) != 32 or not _is_before(self.clock(), until[2]):
            raise ApprovalError("the time of the approved statement is over")
        return number[2]

    def _deed(self, action: str, kind: str, *lines: str) -> Deed:
        return Deed(action, (kind, f"origin {self.origin}", *lines))


def _is_before(now_s: float, until: str) -> bool:
    try:
        return now_s < datetime.strptime(until, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False


def _signatures(notes: Sequence[str]) -> list[str]:
    """The signature lines, each once."""
    lines = [line for note in notes for line in note.rpartition("\n\n")[2].splitlines() if line]
    return list(dict.fromkeys(lines))
