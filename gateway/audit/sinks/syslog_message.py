"""The bytes of a syslog message: RFC 5424 with the record's line as MSG, framed by its length (RFC 5425).

The structured data says which record it is, so that a collector finds gaps and repeats and can compare the leaf with
the log, without reading the line. A line that the collector would not take is left out, and the data says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.audit.writer import b64

_FACILITY, _NOTICE, _INFORMATIONAL = 13, 5, 6
"""13: log audit."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is the same in every message of one sink."""

    host: str
    sd_id: str
    origin: str
    longest: int


def record_message(header: Header, seq: int, line: bytes, leaf: bytes) -> bytes:
    """One record. `line` is as stored, without its newline."""
    record = json.loads(line)
    facts = {"origin": header.origin, "seq": str(seq), "leaf": b64(leaf)}
    message = _message(header, _INFORMATIONAL, int(record["ts"]), str(record["type"]), facts, line)
    if len(message) > header.longest:
        facts["bytes"] = str(len(line))
        message = _message(header, _NOTICE, int(record["ts"]), str(record["type"]), facts, b"")
    return _framed(message)


def head_message(header: Header, note: bytes) -> bytes:
    """A signed head: the note itself, in base64, as it has several lines."""
    lines = note.decode().split("\n")
    facts = {"origin": header.origin, "size": lines[1], "root": lines[2]}
    time_ns = next((int(line.removeprefix("time ")) for line in lines if line.startswith("time ")), 0)
    return _framed(_message(header, _NOTICE, time_ns, "head", facts, b64(note).encode()))


def _message(header: Header, severity: int, time_ns: int, kind: str, facts: dict[str, str], text: bytes) -> bytes:
    data = "".join(f' {name}="{_escaped(value)}"' for name, value in facts.items())
    priority = _FACILITY * 8 + severity
    front = f"<{priority}>1 {_time(time_ns)} {_token(header.host, 255)} gatehouse - {_token(kind, 32)} "
    return f"{front}[{header.sd_id}{data}] ".encode() + text


def _framed(message: bytes) -> bytes:
    return b"%d %b" % (len(message), message)


def _time(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _token(value: str, longest: int) -> str:
    """Printable ASCII without spaces, as the header's fields have to be."""
    kept = "".join(character for character in value if "!" <= character <= "~")
    return kept[:longest] or "-"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
