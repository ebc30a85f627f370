"""What the audit log is told about an exchange: codes, integer scores, sizes, digests. Never text.

Each function builds one record as plain JSON. The log itself adds sequence number, link, clock and instance. The field
names are those of docs/audit-format.md; a detector's parts that are not listed scored 0 in one window.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final, Protocol

from gateway.exchange import Caller, ChatRequest
from gateway.jsonstrict import Json, dumps
from guards.verdict import Finding, GuardIdentity, Part, Scope, Verdict
from policies.model import UNCOVERED, Action, Decision, Facts, Policy

Record = dict[str, Json]
RECORD_BYTES: Final = 27_000
"""What one record may say of guards and decision; the rest of its 32 KiB is for what the log and the exchange add."""
ROW_BYTES: Final = 20_000
"""Room for finding rows in one record, or what its other fields leave of it. More go into `request.findings` before."""
LIST_BYTES: Final = 2_000
"""Room for each list of a decision. What is longer is cut, with its whole length under `…_n`: rules by the hundred."""
TRANSFORM_BYTES: Final = 4_000
"""Room for what was redacted. Which characters it was follows from the finding rows and the policy."""
_CLEAN: Final = Verdict(0)


class Recorder(Protocol):
    """Where records go. Returns once one is durable; raises GatewayError when it cannot be made so."""

    async def append(self, record: Record) -> object: ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """What every record of one exchange says about it."""

    id: str
    caller: Caller
    route: str
    upstream: str
    policy: Policy
    upstream_class: str = ""
    """What kind of place the model server is: `local`, `external`, or a name of the site's."""
    tool_context: str = "none"
    """`untrusted` when the request holds results of tools."""
    subject: str = ""
    """The token of the person for whom the request says it is made."""

    def concerning(self, request: ChatRequest) -> Exchange:
        """The same, with what the request says about it."""
        is_told = any(part.scope is Scope.TOOL_RESULT for part in request.parts)
        return replace(self, tool_context="untrusted" if is_told else "none")

    def going_to(self, upstream: str, class_: str) -> Exchange:
        """The same, on its way to an engine. Itself where it is on its way there already."""
        if not upstream or (upstream, class_) == (self.upstream, self.upstream_class):
            return self
        return replace(self, upstream=upstream, upstream_class=class_)

    def facts(self, parts: Sequence[Part], model: str, at: int | None, *, released: bool = False) -> Facts:
        """What a policy may ask of these parts besides what detectors say; `released`: their text has left already."""
        caller = self.caller
        return Facts(
            parts=tuple(parts),
            tenant=caller.tenant,
            app=caller.app,
            model=model,
            claims=caller.claims,
            upstream=self.upstream,
            upstream_class=self.upstream_class,
            tool_context=self.tool_context,
            at=at,
            released=released,
        )

    def record(self, type_: str, stage: str) -> Record:
        """The fields that all its records share."""
        return {
            "type": type_,
            "stage": stage,
            "req": self.id,
            "tenant": self.caller.tenant,
            "app": self.caller.app,
            "actor": {"type": "key", "key_id": self.caller.key_id},
            "policy": policy_identity(self.policy),
            **({"on_behalf": {"sub": self.subject, "relation": "claimed"}} if self.subject else {}),
            **self._facts(),
        }

    def _facts(self) -> Record:
        """Facts that a policy may ask and no other field holds, so that a replay knows them."""
        said: dict[str, Json] = dict(sorted(self.caller.claims.items()))
        said |= {"upstream_class": self.upstream_class} if self.upstream_class else {}
        said |= {"tool_context": self.tool_context} if self.tool_context != "none" else {}
        return {"facts": said} if said else {}


def keyed_digest(key: bytes, data: bytes) -> str:
    """HMAC-SHA256 cut to 128 bits, hex: equality can be checked by who holds the key, content cannot be guessed."""
    return hmac.digest(key, data, "sha256")[:16].hex()


def tenant_key(key: bytes, tenant: str) -> bytes:
    """One tenant's own key for digests: what one of them can test says nothing of another's texts."""
    return hmac.digest(key, b"gatehouse-digest/v1\0" + tenant.encode(), "sha256")


def digest_field(key: bytes, **digests: str) -> Record:
    """The field `digest`, with the version of the tenant's key that they were made under."""
    return {"digest": {**digests, "key_id": f"1:{hashlib.sha256(key).hexdigest()[:8]}"}}


def policy_identity(policy: Policy) -> Json:
    """Which policy: its name for people, its digests for replays."""
    return {
        "name": policy.name,
        "version": policy.version,
        "compiled_digest": policy.digest,
        "src_digest": policy.source_digest,
    }


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


def _identity(identity: GuardIdentity) -> Record:
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
        "scopes": dict(sorted(Counter(str(part.scope) for part in parts).items())),
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
        coverage |= {"tools": _first(_tools(findings, parts), LIST_BYTES), "tools_n": tools}
    if exempt:
        coverage |= {"parts_exempt": len(exempt), "bytes_exempt": sum(sizes[path] for path in exempt)}
    return coverage


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
        said[name] = shown = _first(rows, LIST_BYTES)
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


def _first(rows: Sequence[Json], room: int) -> list[Json]:
    """As many as there is room for."""
    sizes = accumulate(len(dumps(row)) + 1 for row in rows)
    return [row for row, size in zip(rows, sizes, strict=True) if size <= room]


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


def request_fields(request: ChatRequest, upstream_body: bytes, canonical: bytes, key: bytes) -> Record:
    """`http` and `digest` of an admitted or refused request. `key` is the tenant's."""
    sent = keyed_digest(key, upstream_body) if upstream_body else ""
    return {
        "http": {"bytes_in": request.bytes_in, "stream": request.stream},
        **digest_field(key, in_canon_hmac=keyed_digest(key, canonical), up_req_hmac=sent),
        **_images(request.parts, key),
    }


def _images(parts: Sequence[Part], key: bytes) -> Record:
    """Which pictures were judged and sent, by digests of their `data:` URLs."""
    rows: list[Json] = [
        {"part": part.path, "bytes": part.bytes, "hmac": keyed_digest(key, part.picture.encode())}
        for part in parts
        if part.picture
    ]
    return {"images": _first(rows, LIST_BYTES), "images_n": len(rows)} if rows else {}


def refusal(exchange_id: str, caller: Caller | None, route: str, code: str, status: int, bytes_in: int) -> Record:
    """A request that was turned away before any guard saw it: bad JSON, unknown field, unknown model, too large."""
    record: Record = {
        "type": "request.refuse" if caller else "auth.fail",
        "stage": "complete",
        "req": exchange_id,
        "http": {"route": route, "status": status, "bytes_in": bytes_in},
        "err": {"code": code, "where": "front"},
        "decision": {"outcome": "error", "action": "block", "rules": [], "code": code},
    }
    if caller:
        record |= {"tenant": caller.tenant, "app": caller.app, "actor": {"type": "key", "key_id": caller.key_id}}
    return record


def overflow_records(exchange: Exchange, batches: Iterable[list[Json]]) -> Iterable[Record]:
    """Finding rows that the main record has no room for; they are written before it."""
    for rows in batches:
        yield exchange.record("request.findings", "progress") | {"rows": rows}
