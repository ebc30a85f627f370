"""The golden export: a dozen records of all kinds, and each form of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from gateway.audit.export.formats import export
from gateway.audit.export.view import View
from gateway.audit.record import canonical, parse_line

GOLDEN = Path(__file__).parent / "golden"
LINES = (GOLDEN / "records.jsonl").read_bytes().splitlines()
VIEWS = [View(parse_line(line), line) for line in LINES]


def exported(name: str, lines: list[bytes] = LINES) -> bytes:
    out = io.BytesIO()
    export(lines, name, out)
    return out.getvalue()


def objects(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def line_of(**fields: Any) -> bytes:
    base = {"v": 1, "seq": 1, "type": "request.admit", "ts": "1800000000000000000", "origin": "o", "prev": "p"}
    return canonical(base | fields)
