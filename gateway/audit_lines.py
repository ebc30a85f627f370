"""A record as one line for people: what happened when, to whom, why, and how sure the guards were."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.audit.errors import RecordError
from gateway.audit.export.view import printable
from gateway.audit.record import Json, parse_line
from gateway.audit.report import iso


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
    time_text = iso(int(ts)) if ts.isascii() and ts.isdigit() else "(no time)"
    fields = [time_text, str(record.get("seq", "-")), str(record.get("type", "-")), str(record.get("req", "-"))]
    decision = record.get("decision")
    if isinstance(decision, dict):
        fields.append(str(decision.get("action") or decision.get("outcome") or "-"))
        rules = decision.get("rules")
        if isinstance(rules, list) and rules:
            fields.append("rules=" + ",".join(str(rule) for rule in rules))
        if decision.get("code"):
            fields.append(f"code={decision['code']}")
    fields.extend(_scores(record.get("guards")))
    return printable("  ".join(fields))


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
