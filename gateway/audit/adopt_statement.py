"""The text that two people sign before a refused log goes on as another one: made by adoptions, read by auditors."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from gateway.audit.errors import AuditError, NoteError
from gateway.audit.head_store import Head
from gateway.audit.note import is_origin, strict_b64

FORMAT, FOLDER = "gatehouse-adopt/v1", "adopt"
_HEAD = r"(0|[1-9][0-9]{0,15}) ([A-Za-z0-9+/]{43}=)"
_TEXT = re.compile(rf"{FORMAT}\nold (\S+)\nnew (\S+)\nfound {_HEAD}\nsigned {_HEAD}\nreason ([^\n]{{1,500}})\n")


@dataclass(frozen=True, slots=True)
class Statement:
    """What two people approve."""

    old: str
    new: str
    found: Head
    """Records that follow from one another, from the first on, and the root over them."""
    signed: Head
    """The newest head that anything on this machine vouches for."""
    reason: str

    def __post_init__(self) -> None:
        if not is_origin(self.old) or not is_origin(self.new) or self.old == self.new:
            raise AuditError("audit_settings", f"the new log `{self.new}` needs a name of its own")
        if not self.reason.isprintable() or not 1 <= len(self.reason) <= 500:
            raise AuditError("audit_settings", "the reason is not one line of at most 500 characters")

    def text(self) -> str:
        """What is signed."""
        found, signed = (f"{head.size} {b64encode(head.root).decode()}" for head in (self.found, self.signed))
        return f"{FORMAT}\nold {self.old}\nnew {self.new}\nfound {found}\nsigned {signed}\nreason {self.reason}\n"


def parse_statement(text: str) -> Statement:
    """Raises AuditError."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise AuditError("audit_settings", f"the approved text is not of the format `{FORMAT}`")
    old, new, found, found_root, signed, signed_root, reason = match.groups()
    try:
        head, signed_head = Head(int(found), strict_b64(found_root, 32)), Head(int(signed), strict_b64(signed_root, 32))
    except NoteError as exc:
        raise AuditError("audit_settings", f"the approved text: {exc}") from exc
    return Statement(old, new, head, signed_head, reason)
