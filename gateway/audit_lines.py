"""A record as one line for people: what happened when, to whom, why, and how sure the guards were."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from gateway.audit.errors import RecordError
from gateway.audit.export.view import printable
from gateway.audit.record import Json, parse_line
from gateway.audit.report import iso

_ENVELOPE: Final = frozenset(
    ("v", "origin", "seq", "prev", "ts", "mono", "boot", "inst", "type", "stage", "req", "tenant", "app", "actor",
     "policy", "guards", "rows", "coverage", "digest", "http", "trace", "target")
)  # fmt: skip
"""What every record has, or what is too long for a line."""
_DETAILS: Final = 6
_LONGEST: Final = 48


def print_line(line: bytes, as_json: bool) -> None:
    if as_json:
        print(line.decode(errors="replace"))
        return
    try:
        print(one_line(parse_line(line)))
    except RecordError as exc:
        print(f"(unreadable: {exc}; run `gatehouse audit verify`)")


def one_line(record: dict[str, Json]) -> str:
    """Time, number, type, request, decision, rules and highest score of a record."""
    ts = str(record.get("ts", ""))
    time_text = iso(int(ts)) if ts.isascii() and ts.isdigit() and len(ts) <= 19 else "(no time)"
    fields = [time_text, str(record.get("seq", "-")), str(record.get("type", "-")), str(record.get("req", "-"))]
    decision, actor = record.get("decision"), record.get("actor")
    if isinstance(decision, dict):
        fields.append(str(decision.get("action") or decision.get("outcome") or "-"))
        rules = decision.get("rules")
        if isinstance(rules, list) and rules:
            fields.append("rules=" + ",".join(str(rule) for rule in rules))
        if decision.get("code"):
            fields.append(f"code={decision['code']}")
    else:
        if isinstance(actor, dict):
            fields.append(f"by={_short(actor.get('sub') or actor.get('key_id'))}")
        fields.extend(_details(record))
    fields.extend(_scores(record.get("guards")))
    return printable("  ".join(fields))


def _details(record: dict[str, Json]) -> Iterator[str]:
    """What records of other types hold, also of those that this version does not know: short values, the first few."""
    own = ((key, value) for key, value in record.items() if key not in _ENVELOPE)
    shown = (f"{name}={_short(value)}" for key, held in own for name, value in _flat(key, held))
    yield from islice(shown, _DETAILS)


def _flat(key: str, value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        yield from ((f"{key}.{name}", item) for name, item in value.items())
    else:
        yield key, value


def _short(value: Json) -> str:
    if isinstance(value, dict | list):
        return f"[{len(value)}]"
    text = "-" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _scores(guards: Json) -> Iterator[str]:
    """What each detector found at its highest, or what kept it from finding anything."""
    for guard in guards if isinstance(guards, list) else []:
        if not isinstance(guard, dict):
            continue
        name, listed = str(guard.get("name", "?")), guard.get("rows")
        rows = [row for row in (listed if isinstance(listed, list) else []) if isinstance(row, dict)]
        errors = [str(row.get("error", "error")) for row in rows if row.get("outcome", "ok") != "ok"]
        scores = [score for row in rows if isinstance(score := row.get("score_ppm"), int)]
        if errors:
            yield f"{name}={errors[0]}"
        elif scores:
            yield f"{name}={max(scores) / 1_000_000:.3f}"
