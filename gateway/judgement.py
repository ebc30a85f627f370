"""What guards said and what the policy concluded, as fields of a record: codes, integer scores, counts. Never text.

A detector's parts that are not listed scored 0 in one window. What does not fit into one record goes into others before
it, or is cut and counted: a record that is too long would be refused, and the exchange with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from gateway.entries import LIST_BYTES, Exchange, Record, fitting
from gateway.jsonstrict import Json, dumps
from guards.verdict import Finding, GuardIdentity, Part, Verdict
from policies.model import UNCOVERED, Action, Decision, Policy

RECORD_BYTES: Final = 27_000
"""What one record may say of guards and decision; the rest of its 32 KiB is for what the log and the exchange add."""
ROW_BYTES: Final = 20_000
"""Room for finding rows in one record, or what its other fields leave of it. More go into `request.findings` before."""
TRANSFORM_BYTES: Final = 4_000
"""Room for what was redacted. Which characters it was follows from the finding rows and the policy."""
_CLEAN: Final = Verdict(0)


def judged(
    findings: Sequence[Finding],
    parts: Sequence[Part],
    decision: Decision,
    policy: Policy,
    identities: Mapping[str, GuardIdentity],
) -> tuple[list[list[Json]], Record]:
    """(rows for earlier `request.findings` records, the fields `guards`, `coverage`, `decision`, `transform`)."""
    fields: Record = {"coverage": _coverage(findings, parts, decision), "decision": _decision(decision)}
    if decision.redactions:
        fields |= _transforms(decision)
    rows, overflow = _guards(findings, policy, identities, RECORD_BYTES - len(dumps(fields)))
    return overflow, fields | {"guards": rows}


def _guards(
    findings: Sequence[Finding], policy: Policy, identities: Mapping[str, GuardIdentity], space: int
) -> tuple[list[Json], list[list[Json]]]:
    by_detector: dict[str, list[Finding]] = {}
    for finding in findings:
        by_detector.setdefault(finding.detector, []).append(finding)
    heads: list[Record] = []
    for name in sorted(by_detector):
        found = by_detector[name]
        identity, spec = identities[name], policy.detectors[name]
        heads.append(
            {
                "name": name,
                **_identity(identity),
                "asks": spec.asks,
                "scopes": list[Json](sorted({str(finding.part.scope) for finding in found})),
                "threshold_ppm": spec.threshold_ppm,
                "us": max(finding.us for finding in found),
                "parts": len(found),
                "rows": [],
                "rows_before": 0,
            }
        )
    room = _Room(min(ROW_BYTES, space - len(dumps(list[Json](heads)))))
    for head in heads:
        name = str(head["name"])
        shown = (_row(finding) for finding in by_detector[name] if finding.verdict != _CLEAN)
        head["rows"], head["rows_before"] = room.seat(name, shown)
    return list[Json](heads), room.overflow


@lru_cache(maxsize=256)
def _identity(identity: GuardIdentity) -> Mapping[str, Json]:
    """Which code, weights and prompt judged, so that the decision can be replayed."""
    said: Record = {"use": identity.use, "version": identity.version, "weights_digest": identity.weights}
    more = {"profile": identity.profile, "template_digest": identity.template, "model": identity.model}
    return said | {key: value for key, value in more.items() if value}


class _Room:
    """Seats finding rows in the main record while there is room, and the rest in batches of their own."""

    def __init__(self, left: int) -> None:
        self.overflow: list[list[Json]] = []
        self._left, self._left_there = left, 0

    def seat(self, detector: str, rows: Iterable[Record]) -> tuple[list[Json], int]:
        """(rows for the main record, how many went elsewhere)."""
        seated: list[Json] = []
        spilled = 0
        for row in rows:
            size = len(dumps(row)) + 1  # with the comma after it
            if size <= self._left:
                self._left -= size
                seated.append(row)
            else:
                self._left = 0  # later rows follow, so that their order stays
                spilled += 1
                self._spill({"detector": detector, **row})
        return seated, spilled

    def _spill(self, row: Record) -> None:
        size = len(dumps(row)) + 1
        if size > self._left_there or not self.overflow:
            self.overflow.append([])
            self._left_there = ROW_BYTES
        self._left_there -= size
        self.overflow[-1].append(row)


def _row(finding: Finding) -> Record:
    row: Record = {"part": finding.part.path, "scope": str(finding.part.scope)}
    if finding.verdict is None:
        return row | {"outcome": "error", "error": str(finding.error)}
    row |= {"outcome": "ok", "score_ppm": finding.verdict.score_ppm, "windows": finding.verdict.windows}
    if finding.verdict.view:
        row["view"] = finding.verdict.view
    if finding.verdict.categories:
        row["cats"] = [[code, score] for code, score in finding.verdict.categories]
    if finding.verdict.spans:
        row["spans"] = [[span.start, span.end, span.label] for span in finding.verdict.spans[:20]]
        row["spans_n"] = len(finding.verdict.spans)
    return row


def _coverage(findings: Sequence[Finding], parts: Sequence[Part], decision: Decision) -> Json:
    seen = {finding.part.path for finding in findings if finding.verdict is not None}
    sizes = {part.path: part.bytes for part in parts}
    exempt = {path for path in decision.exempt if path not in seen}
    coverage: Record = {
        "parts": len(parts),
        "parts_scanned": sum(path in seen for path in sizes),
        "scopes": _scopes(parts),
        "bytes": sum(sizes.values()),
        "bytes_scanned": sum(size for path, size in sizes.items() if path in seen),
        "uncovered": [],
        "uncovered_n": 0,
    }
    # What somebody accepts is no gap: the verifier takes `uncovered` for one, unless the exchange was blocked.
    accepted = "_accepted" if UNCOVERED in {rule for rule, _ in decision.opened} else ""
    if decision.uncovered:
        coverage |= {f"uncovered{accepted}": list[Json](decision.uncovered[:50])}
        coverage |= {f"uncovered{accepted}_n": len(decision.uncovered)}
    if tools := sum(bool(part.tool) for part in parts):
        coverage |= {"tools": fitting(_tools(findings, parts), LIST_BYTES), "tools_n": tools}
    if exempt:
        coverage |= {"parts_exempt": len(exempt), "bytes_exempt": sum(sizes[path] for path in exempt)}
    return coverage


def _scopes(parts: Sequence[Part]) -> Json:
    """How many parts there are of each."""
    scopes = [str(part.scope) for part in parts]
    return {scope: scopes.count(scope) for scope in sorted({*scopes})}


def _tools(findings: Sequence[Finding], parts: Sequence[Part]) -> list[Json]:
    """The tools by name, but for names in which a detector found something: a key in the place of one is no name."""
    found = {finding.part.text for finding in findings if finding.verdict is not None and finding.verdict.spans}
    return [
        {"part": part.path, "scope": str(part.scope), "tool": part.tool}
        for part in parts
        if part.tool and part.tool not in found
    ]


def _decision(decision: Decision) -> Json:
    said: Record = {
        "outcome": _outcome(decision),
        "action": decision.action.name.lower(),
        "code": decision.code,
    }
    told: Record = {"dialect": decision.dialect or None, "template": decision.template, "route": decision.route}
    said |= {name: value for name, value in told.items() if value is not None}
    for name, rows in _lists(decision).items():
        said[name] = shown = fitting(rows, LIST_BYTES)
        if len(shown) < len(rows):
            said[f"{name}_n"] = len(rows)
    return said


def _lists(decision: Decision) -> dict[str, list[Json]]:
    always: dict[str, list[Json]] = {
        "rules": list(decision.rules),
        "flags": [{"rule": flag.rule, "queue": flag.queue, "severity": flag.severity} for flag in decision.flags],
        "shadow": [{"rule": rule, "action": action} for rule, action in decision.shadow],
        "errors": [{"detector": detector, "kind": str(kind)} for detector, kind in decision.errors],
    }
    sometimes: dict[str, list[Json]] = {
        "annotations": [{"rule": rule, "field": name} for rule, name in decision.annotations],
        "hanging": list(decision.hanging),
        "opened": [{"rule": rule, "ticket": ticket} for rule, ticket in decision.opened],
        "reviews": [{"rule": rule, "queue": review.queue} for rule, review in decision.reviews],
    }
    return always | {name: rows for name, rows in sometimes.items() if rows}


def choice_rows(decisions: Mapping[int, Decision]) -> list[Json]:
    """What became of each choice of an answer that has several; a choice that was blocked before stays so."""
    return [
        {
            "choice": choice,
            "outcome": _outcome(decision),
            "action": decision.action.name.lower(),
            "rules": list(decision.rules[:20]),
            "code": decision.code,
        }
        for choice, decision in sorted(decisions.items())
    ]


def _outcome(decision: Decision) -> str:
    if decision.action is Action.BLOCK:
        return "block"
    is_modified = decision.redactions or decision.template is not None or decision.route is not None
    return "modified" if is_modified else "allow"


def _transforms(decision: Decision) -> Record:
    """The first redactions, as many as there is room for, and the number of all places that have some."""
    counts = Counter((cut.path, cut.rule, cut.kind) for cut in decision.redactions)
    rows: list[Json] = []
    room = TRANSFORM_BYTES
    for (path, rule, kind), count in sorted(counts.items()):
        row: Json = {"part": path, "rule": rule, "kind": kind, "n": count}
        room -= len(dumps(row))
        if room < 0:
            break
        rows.append(row)
    return {"transform": rows, "transform_n": len(counts)}


def overflow_records(exchange: Exchange, batches: Iterable[list[Json]]) -> Iterable[Record]:
    """Finding rows that the main record has no room for; they are written before it."""
    for rows in batches:
        yield exchange.record("request.findings", "progress") | {"rows": rows}
