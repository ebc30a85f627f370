"""Two people for what one must not do alone.

What is approved is a text that says all of it, its first line naming its kind. An approval is that very text as a C2SP
signed note, under the approver's name and key; the configuration lists who may approve. One person with two names
counts once, and an approval of any other text is an error, not a missing vote: somebody was shown something else.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence

from gateway.audit.errors import NoteError, TrustError
from gateway.audit.note import VerifierKey, open_note, parse_vkey
from policies import fields
from policies.errors import Problems
from policies.yaml_strict import Broken, Node

NEED = 2
LONGEST = 64 * 1024
"""Characters of a statement; more than anybody reads before signing."""
_KIND = re.compile(r"gatehouse-[a-z-]{1,40}/v[0-9]{1,3}")
Approvers = Mapping[str, VerifierKey]


class ApprovalError(Exception):
    """Too few people approved this text, or somebody approved another."""


def check(statement: str, notes: Sequence[bytes], approvers: Approvers, need: int = NEED) -> tuple[str, ...]:
    """Names of those who approved, sorted. Raises ApprovalError if they are fewer than `need`."""
    check_statement(statement)
    keys: dict[bytes, str] = {}
    for note in notes:
        for name in _signers(note, statement, approvers):
            keys.setdefault(approvers[name].key, name)
    if len(keys) < need:
        found = ", ".join(sorted(keys.values())) or "nobody"
        raise ApprovalError(f"approved by {found}, expected {need} different approvers")
    return tuple(sorted(keys.values()))


def check_statement(text: str) -> None:
    """Raise ApprovalError unless this is a text that can be approved."""
    if len(text) > LONGEST or not text.endswith("\n") or "\n\n" in text or not _KIND.fullmatch(text.split("\n")[0]):
        raise ApprovalError(
            "not a statement: its first line names its kind, it ends in a newline, and no line is empty"
        )
    if not all(char.isprintable() or char == "\n" for char in text):
        raise ApprovalError("not a statement: it holds characters that are not shown")


def _signers(note: bytes, statement: str, approvers: Approvers) -> list[str]:
    body, _, lines = note.rpartition(b"\n\n")
    if body + b"\n" != statement.encode():
        raise ApprovalError("an approval is of another statement")
    found = []
    for name, key in approvers.items():
        if not _claims(lines, key):
            continue
        try:
            open_note(note, key)
        except NoteError as exc:
            raise ApprovalError(f"the approval of `{name}` does not hold: {exc}") from exc
        found.append(name)
    if not found:
        raise ApprovalError("an approval is signed by no approver of the configuration")
    return found


def _claims(lines: bytes, key: VerifierKey) -> bool:
    """Whether a signature line says that it is by this key."""
    for line in lines.decode(errors="replace").splitlines():
        _, name, blob = (*line.split(" "), "", "")[:3]
        try:
            if name == key.name and b64decode(blob, validate=True)[:4] == key.key_id:
                return True
        except ValueError:
            continue
    return False


def read_approvers(node: Node | None, problems: Problems) -> Approvers:
    """`approvers: {name: vkey}` of the configuration."""
    if node is None or isinstance(node, Broken):
        return {}
    table = fields.table(node, "`approvers`", problems)
    found: dict[str, VerifierKey] = {}
    for entry in table.entries if table is not None else ():
        text = fields.text(entry.value, f"the key of `{entry.key[:40]}`", problems)
        try:
            key = parse_vkey(text) if text else None
        except TrustError as exc:
            problems.add(entry.place, f"the key of an approver: {exc}", "gatehouse approver-key")
            continue
        if key is not None and key.name != entry.key:
            problems.add(entry.place, f"the key is that of `{key.name}`, expected `{entry.key[:40]}`")
        elif key is not None and any(key.key == other.key for other in found.values()):
            problems.add(entry.place, "two approvers have the same key, so they are one person")
        elif key is not None:
            found[entry.key] = key
    return found
