"""What a log that continues another one says of that: which, by whose approval, and whether its papers fit together.

None of this is proved here. The old log has to be verified by itself, and approvals with the approvers' public keys,
which the auditor has from elsewhere; names are those that the notes claim. What can be told without them is a note.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from gateway.audit.birth import Adopts

FOLDER = "adopt"


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
    notes.append(f"{FOLDER}/: approved by {told}, as the notes say: check them with the approvers' public keys")
    return notes


def _names(path: Path, statement: bytes) -> list[str]:
    """Who says to have signed the statement; nobody where the note is over another text."""
    text, _, lines = path.read_bytes().rpartition(b"\n\n")
    if text + b"\n" != statement:
        return []
    signed = [line.split(" ") for line in lines.decode(errors="replace").split("\n")]
    names = [parts[1] for parts in signed if len(parts) == 3 and parts[0] == "—"]
    return [name for name in names if name.isprintable()]
