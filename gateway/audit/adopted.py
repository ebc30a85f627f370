"""What a log that continues another one says of that: which, by whose approval, and whether its papers fit together.

Names are those that notes claim, until an auditor brings the approvers' public keys. Then the statement has to be the
one that the first record names and that `LOG` was signed for, and two people have to have signed it. The old log has
to be verified by itself.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from gateway.audit.adopt_statement import FOLDER, parse_statement
from gateway.audit.approved import MISSING, NEED, Approvers, NotApproved, enough, signers
from gateway.audit.birth import Adopts
from gateway.audit.errors import AuditError
from gateway.audit.report import DoesNotHold, Exit, Finding, Report

_STATEMENT = f"{FOLDER}/statement"


def check_adoption(directory: Path, report: Report, said: str | None, approvers: Approvers) -> None:
    """Prove the adoption with the approvers' keys, or tell what there is to prove. `said`: digest in the first record.

    Raises DoesNotHold.
    """
    if report.adopts is None:
        return
    if not approvers:
        report.notes.extend(notes_on_adoption(directory, report.adopts, said))
        return
    try:
        text = (directory / _STATEMENT).read_bytes()
    except FileNotFoundError:
        expected = f"the statement under which the log {report.adopts.origin} was adopted"
        raise _finding(Exit.INCOMPLETE, "adoption", expected, "no file") from None
    _require_same(text, report, said)
    found = _approved(directory, text, approvers)
    if not enough(found, approvers):
        told = ", ".join(sorted(found)) or "nobody whose key was given"
        raise _finding(Exit.INCOMPLETE, MISSING, f"approvals by {NEED} people in `{FOLDER}/`", told)
    report.adopted_by = sorted(found)
    if len(found) < NEED:
        report.notes.append(f"{FOLDER}/: of the two approvals only that of {report.adopted_by[0]} could be checked")


def _require_same(text: bytes, report: Report, said: str | None) -> None:
    """The statement is the one that record 0 names, and says what `LOG` says."""
    if said != f"sha256:{sha256(text).hexdigest()}":
        raise _finding(Exit.ALTERED, "adoption", "the statement that the first record names", "another one")
    try:
        statement = parse_statement(text.decode(errors="replace"))
    except AuditError as exc:
        raise _finding(Exit.ALTERED, "adoption", "a statement of an adoption", str(exc)) from exc
    signed = statement.signed if statement.signed.size else statement.found
    if (Adopts(statement.old, *signed), statement.new) != (report.adopts, report.origin):
        raise _finding(Exit.ALTERED, "adoption", "a statement of the logs that `LOG` names", "one of others")


def _approved(directory: Path, text: bytes, approvers: Approvers) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for path in sorted((directory / FOLDER).glob("*.approval")):
        body, _, lines = path.read_bytes().rpartition(b"\n\n")
        if body + b"\n" != text:
            raise _finding(Exit.ALTERED, "approval", "an approval of the statement", "one of another", path)
        try:
            found |= signers(text.decode(), lines.decode(errors="replace").splitlines(), approvers)
        except NotApproved as exc:
            raise _finding(Exit.ALTERED, "approval", "signatures of approvers", str(exc), path) from exc
    return found


def _finding(exit_: Exit, code: str, expected: str, found: str, path: Path | None = None) -> DoesNotHold:
    return DoesNotHold(Finding(exit_, code, f"{FOLDER}/{path.name}" if path else _STATEMENT, expected, found))


def notes_on_adoption(directory: Path, adopts: Adopts | None, said: str | None) -> list[str]:
    """For people. `said`: the digest that the first record gives of the statement, if it does."""
    if adopts is None:
        return []
    try:
        statement = (directory / FOLDER / "statement").read_bytes()
    except FileNotFoundError:
        return [f"{FOLDER}/: the statement under which the log {adopts.origin} was adopted is not there"]
    notes = []
    if said != f"sha256:{sha256(statement).hexdigest()}":
        notes.append(f"{FOLDER}/statement is not the one that the first record names")
    names = sorted({name for path in (directory / FOLDER).glob("*.approval") for name in _names(path, statement)})
    told = ", ".join(names) or "nobody"
    notes.append(f"{FOLDER}/: approved by {told}, as the notes say; not checked: give `--approver NAME=VKEY` for each")
    return notes


def _names(path: Path, statement: bytes) -> list[str]:
    """Who says to have signed the statement; nobody where the note is over another text."""
    text, _, lines = path.read_bytes().rpartition(b"\n\n")
    if text + b"\n" != statement:
        return []
    signed = [line.split(" ") for line in lines.decode(errors="replace").split("\n")]
    names = [parts[1] for parts in signed if len(parts) == 3 and parts[0] == "—"]
    return [name for name in names if name.isprintable()]
