"""Text with spans of it replaced, and whether what has a form keeps it. Pure; for requests and answers alike.

Arguments of a tool call that were JSON have to be JSON afterwards, and a tool's name a name: what cannot be redacted so
is blocked by whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.fields import IDENTIFIER
from gateway.jsonstrict import is_json
from guards.verdict import Part, Scope
from policies.model import Redaction


def keeps_form(parts: Iterable[Part], cuts: Sequence[Redaction]) -> bool:
    """Whether tool arguments that were JSON still are once redacted, and a tool's name is one. If not: block."""
    for part in parts:
        mine = [cut for cut in cuts if cut.path == part.path] if part.scope is Scope.TOOL_CALL else []
        if mine and not is_same_form(part, redacted(part.text, mine)):
            return False
    return True


def is_same_form(part: Part, text: str) -> bool:
    """Whether `text` can stand for the text of a part of a tool call."""
    if part.path.endswith("/function/name"):
        return IDENTIFIER.fullmatch(text) is not None
    return is_json(text) or not is_json(part.text)


def redacted(text: str, cuts: Sequence[Redaction]) -> str:
    """`text` with each span of `cuts` (sorted, not overlapping) replaced."""
    out: list[str] = []
    at = 0
    for cut in cuts:
        out.extend((text[at : cut.start], cut.replacement))
        at = cut.end
    out.append(text[at:])
    return "".join(out)
