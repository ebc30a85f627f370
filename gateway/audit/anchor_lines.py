"""Reading `anchors.log`: one line of canonical JSON for each time that a head was laid down outside the machine.

The file lies beside the records and is signed by nobody, so a line proves nothing by itself. It says where to look, and
carries the signed head and what a witness or a time stamp authority answered, which is verified with their keys.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.errors import NoteError, RecordError
from gateway.audit.note import strict_b64
from gateway.audit.record import Json, parse_line
from gateway.audit.report import DoesNotHold, Exit, Finding

NAME = "anchors.log"
STAMPED = "rfc3161"
"""Kind of an anchor whose proof is a time stamp token."""


@dataclass(frozen=True, slots=True)
class AnchorLine:
    """One head that was laid down."""

    name: str
    """Of the anchor, as configured."""
    kind: str
    size: int
    root: bytes
    ts: int
    note: bytes
    """The signed head, as it was in the log's history."""
    cosignatures: tuple[str, ...]
    """Signature lines of a witness over it."""
    token: bytes | None = None
    """A time stamp server's answer for it."""


@dataclass(frozen=True, slots=True)
class AnchorLines:
    """The whole file as it was when it was read."""

    lines: tuple[AnchorLine, ...] = ()
    torn: int = 0
    """Bytes of an unfinished line at the end, which a crash leaves."""


def read_anchor_lines(path: Path) -> AnchorLines:
    """Every complete line. Raises DoesNotHold at the first that is malformed."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return AnchorLines()
    whole, _, rest = data.rpartition(b"\n")
    return AnchorLines(tuple(_lines(whole, path.name)) if whole else (), len(rest))


def _lines(data: bytes, name: str) -> Iterator[AnchorLine]:
    for number, raw in enumerate(data.split(b"\n"), 1):
        try:
            yield _line(parse_line(raw))
        except (RecordError, NoteError) as exc:
            finding = Finding(Exit.ALTERED, "anchor", name, "an anchor in canonical JSON", str(exc), line=number)
            raise DoesNotHold(finding) from exc


def _line(fields: dict[str, Json]) -> AnchorLine:
    name, kind, size, root, ts = (fields.get(key) for key in ("name", "kind", "size", "root", "ts"))
    if not isinstance(name, str) or not isinstance(kind, str) or type(size) is not int or size < 0:
        raise NoteError("`name`, `kind` or `size` is missing or of another kind")
    if not isinstance(root, str) or not isinstance(ts, str) or not ts.isascii() or not ts.isdigit() or len(ts) > 20:
        raise NoteError("`root` or `ts` is missing or of another kind")
    proof = fields.get("proof")
    note = proof.get("note") if isinstance(proof, dict) else None
    lines = proof.get("cosignatures", []) if isinstance(proof, dict) else None
    if not isinstance(note, str) or not isinstance(lines, list):
        raise NoteError("`proof` holds no signed head, or cosignatures that are no list")
    cosignatures = tuple(line for line in lines if isinstance(line, str))
    token = _token(proof.get("token")) if isinstance(proof, dict) and kind == STAMPED else None
    return AnchorLine(name, kind, size, strict_b64(root, 32), int(ts), note.encode(), cosignatures, token)


def _token(text: Json) -> bytes:
    """Nothing for what cannot be read: whoever looks at tokens will not find one that holds."""
    try:
        return b64decode(text if isinstance(text, str) else "", validate=True)
    except ValueError:
        return b""
