"""Approvals that a log holds, checked with the public keys of approvers that an auditor brings.

A record that two people had to agree to carries what they signed: the statement and their signature lines, as a C2SP
signed note has them. Names in a record prove nothing; keys from elsewhere do. A statement must say what its record
says, and may stand behind one deed only: each carries a number, and a second use of it is an attack and not a mistake.
Without keys nothing is checked here, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from gateway.audit.chunk import Event, Problem
from gateway.audit.errors import NoteError
from gateway.audit.note import VerifierKey, open_note
from gateway.audit.record import Json
from gateway.audit.report import Report

MISSING: Final = "approval_missing"
"""Fewer people approved than had to: evidence that is not there. Every other code is evidence that does not hold."""
NEED: Final = 2
_POLICIES: Final = "policy.load"
_DEEDS: Final = {"content.erase": "gatehouse-erase/v2", "hold.release": "gatehouse-hold-release/v2"}
KINDS: Final = frozenset((_POLICIES, *_DEEDS))
Approvers = Mapping[str, VerifierKey]


class NotApproved(Exception):
    """Somebody signed something else, or it was not them."""


def blobs_line(refs: Iterable[str]) -> str:
    """What a statement says of the blobs that are to go: how many, and which."""
    named = sorted(set(refs))
    return f"blobs {len(named)} {sha256(chr(10).join(named).encode()).hexdigest()}"


def signers(statement: str, lines: Iterable[str], approvers: Approvers) -> frozenset[str]:
    """The approvers among those who signed. NotApproved if a line in an approver's name does not hold."""
    found = set()
    for line in lines:
        name = line.split(" ")[1] if line.count(" ") == 2 else ""
        key = approvers.get(name)
        if key is None:
            continue
        try:
            open_note(f"{statement}\n{line}\n".encode(), key)
        except (NoteError, UnicodeEncodeError) as exc:
            raise NotApproved(f"a signature in the name of `{name}`: {exc}") from exc
        found.add(name)
    return frozenset(found)


def enough(found: Iterable[str], approvers: Approvers) -> bool:
    """Whether two did, as far as the caller's keys can tell: with a single key nobody can ask for more than one."""
    keys = {approvers[name].key for name in found}
    return len(keys) >= min(NEED, len({key.key for key in approvers.values()}))


class Approvals:
    """Takes the records that people agreed to, in order."""

    def __init__(self, origin: str, approvers: Approvers) -> None:
        self._origin, self._approvers = origin, approvers
        self._used: dict[str, str] = {}
        """Digest of each statement -> the deed it was used for."""
        self._refs: dict[str, set[str]] = {}
        """Of erasures that are under way, by their id: the blobs that were named."""
        self._checked, self._unchecked, self._bare = 0, 0, 0

    def take(self, event: Event) -> Problem | None:
        """Go on with one record."""
        if event.kind not in KINDS:
            return None
        approval, names = event.told.get("approval"), _names(event)
        if approval is None:
            self._bare += bool(names)
            return None
        if not self._approvers:
            self._unchecked += 1
            return None
        statement, lines = _read(approval)
        if not statement:
            return Problem("approval", "`approval` with `statement` and `signatures`", "another kind or none")
        return self._check(event, statement, lines, names)

    def _check(self, event: Event, statement: str, lines: Sequence[str], names: Sequence[str]) -> Problem | None:
        if problem := self._replayed(event, statement):
            return problem
        if not self._is_same(event, statement):
            return Problem("approval", "a statement of what the record says", "one of something else")
        try:
            found = signers(statement, lines, self._approvers)
        except NotApproved as exc:
            return Problem("approval", "signatures of approvers over the statement", str(exc))
        lacking = sorted(name for name in names if name in self._approvers and name not in found)
        if lacking:
            return Problem(MISSING, f"the signature of `{lacking[0]}`, whom the record names", "none")
        if _needs_two(event) and not enough(found, self._approvers):
            told = ", ".join(sorted(found)) or "nobody whose key was given"
            return Problem(MISSING, f"approvals by {NEED} people", told)
        self._checked += 1
        return None

    def _replayed(self, event: Event, statement: str) -> Problem | None:
        """An erasure says the same in each of its records; a policy may come into force again."""
        if event.kind == _POLICIES:
            return None
        digest = sha256(statement.encode("utf-8", "replace")).hexdigest()
        before = self._used.setdefault(digest, event.request)
        if before == event.request:
            return None
        return Problem("approval_replayed", "a statement for each deed", f"the one of `{before}`")

    def _is_same(self, event: Event, statement: str) -> bool:
        """Whether what was signed is what the record says."""
        told = event.told
        if event.kind == _POLICIES:
            bundle = told.get("bundle")
            digest = bundle.get("digest") if isinstance(bundle, dict) else None
            is_named = digest == f"sha256:{sha256(statement.encode('utf-8', 'replace')).hexdigest()}"
            return is_named and self._is_for_here(statement, str(told.get("binding") or "-"))
        said = [_DEEDS[event.kind], f"origin {self._origin}", f"reason {told.get('reason')}"]
        if event.kind == "hold.release":
            hold = told.get("hold")
            said.append(f"hold {hold.get('id') if isinstance(hold, dict) else None}")
        elif "subject" in told:
            said.append(f"subject {told['subject']}")
        else:
            said += self._blobs(event)
        lines = statement.split("\n")
        return lines[0] == said[0] and all(line in lines for line in said)

    def _is_for_here(self, statement: str, binding: str) -> bool:
        """Whether a manifest that says for which gateways and bindings it is names these; its head says so."""
        head = statement.partition("\npolicy ")[0].split("\n")
        for word, here in (("origin ", self._origin), ("binding ", binding)):
            named = [line for line in head if line.startswith(word)]
            if named and word + here not in named:
                return False
        return True

    def _blobs(self, event: Event) -> list[str]:
        """What the statement of an erasure by name has to say of the blobs, once all are known."""
        erase = event.told.get("erase")
        refs = erase.get("refs") if isinstance(erase, dict) else None
        named = self._refs.setdefault(event.request, set())
        if event.told.get("stage") == "admit":
            named.update(ref for ref in (refs if isinstance(refs, list) else ()) if isinstance(ref, str))
            return []
        return [blobs_line(named)]

    def finish(self, report: Report) -> None:
        """Tell what was checked."""
        report.approvals = self._checked
        if self._unchecked:
            report.notes.append(
                f"{self._unchecked} records carry approvals, which were not checked: give `--approver NAME=VKEY`"
            )
        if self._bare:
            report.notes.append(f"{self._bare} records name approvers and carry nothing that they signed")


def _read(approval: Json) -> tuple[str, list[str]]:
    fields = approval if isinstance(approval, dict) else {}
    statement, lines = fields.get("statement"), fields.get("signatures")
    if not isinstance(statement, str) or not isinstance(lines, list):
        return "", []
    return statement, [line for line in lines if isinstance(line, str)]


def _names(event: Event) -> list[str]:
    """Who is said to have approved."""
    bundle = event.told.get("bundle")
    named = bundle.get("signers") if isinstance(bundle, dict) else event.told.get("approved_by")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def _needs_two(event: Event) -> bool:
    """Of policies only what a site asked for is known; that the named ones signed is checked."""
    return event.kind != _POLICIES
