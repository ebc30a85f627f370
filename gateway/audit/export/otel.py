"""Records as OpenTelemetry logs, one OTLP/JSON message a line, as the collector's file receiver reads them.

A record is an event `gatehouse.<type>`; each verdict of a guard in it is a `gen_ai.evaluation.result` beside it. Names
are those of the GenAI conventions, which are still in development. The attributes that would hold prompts, answers or
explanations (`gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.evaluation.explanation`) are never set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.audit.export.view import Score, Severity, View

SCOPE: Final = "gatehouse.audit"
_SEVERITY: Final = {
    Severity.INFORMATION: (9, "INFO"),
    Severity.LOW: (10, "INFO2"),
    Severity.MEDIUM: (13, "WARN"),
    Severity.HIGH: (17, "ERROR"),
}
_Value = str | int | float | bool | Sequence[str] | None


def message(view: View) -> dict[str, Any]:
    """One export message: the record, and the verdicts in it."""
    version = view.text("inst", "version")
    resource = {"service.name": "gatehouse", "service.version": version, "service.instance.id": view.text("inst", "id")}
    logs = [_record(view), *(_evaluation(view, score) for score in view.scores)]
    scope = {"name": SCOPE} | ({"version": version} if version else {})
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeLogs": [{"scope": scope, "logRecords": logs}],
            }
        ]
    }


def _record(view: View) -> dict[str, Any]:
    attributes: dict[str, _Value] = {
        "gatehouse.audit.origin": view.origin,
        "gatehouse.audit.seq": view.seq,
        "gatehouse.audit.prev": view.text("prev"),
        "gatehouse.audit.leaf": view.leaf,
        "gatehouse.tenant": view.text("tenant"),
        "gatehouse.app": view.text("app"),
        "gatehouse.actor": view.who,
        "gatehouse.request.id": view.text("req"),
        "gatehouse.policy.name": view.text("policy", "name"),
        "gatehouse.policy.digest": view.policy_digest,
        "gatehouse.decision.outcome": view.outcome,
        "gatehouse.decision.action": view.action,
        "gatehouse.decision.rules": view.rules,
        "gatehouse.decision.flags": view.flags,
        "http.route": view.text("http", "route"),
        "http.response.status_code": view.number("http", "status"),
        "error.type": view.code,
    }
    if view.model:
        attributes["gen_ai.operation.name"] = "chat"
    attributes |= {
        "gen_ai.provider.name": view.text("target", "upstream"),
        "gen_ai.request.model": view.text("target", "model_req"),
        "gen_ai.response.model": view.text("target", "model_served"),
        "gen_ai.conversation.id": view.text("conv"),
        "gen_ai.usage.input_tokens": view.tokens_in,
        "gen_ai.usage.output_tokens": view.tokens_out,
    }
    return _log(view, f"gatehouse.{view.type or 'unknown'}", view.severity, attributes)


def _evaluation(view: View, score: Score) -> dict[str, Any]:
    attributes: dict[str, _Value] = {
        "gen_ai.evaluation.name": score.detector,
        "gen_ai.evaluation.score.value": None if score.score_ppm is None else score.score_ppm / 1_000_000,
        "gen_ai.evaluation.score.label": None if score.score_ppm is None else "fail" if score.is_flagged else "pass",
        "error.type": score.error,
        "gatehouse.guard": score.use,
        "gatehouse.part": score.part,
        "gatehouse.scope": score.scope,
        "gatehouse.threshold": None if score.threshold_ppm is None else score.threshold_ppm / 1_000_000,
        "gatehouse.categories": [f"{code}={ppm / 1_000_000:.6f}" for code, ppm in score.categories],
        "gatehouse.request.id": view.text("req"),
        "gatehouse.audit.seq": view.seq,
    }
    severity = Severity.MEDIUM if score.is_flagged or score.error else Severity.INFORMATION
    return _log(view, "gen_ai.evaluation.result", severity, attributes)


def _log(view: View, name: str, severity: Severity, attributes: Mapping[str, _Value]) -> dict[str, Any]:
    number, word = _SEVERITY[severity]
    log: dict[str, Any] = {
        "timeUnixNano": str(view.ts_ns),
        "observedTimeUnixNano": str(view.ts_ns),
        "severityNumber": number,
        "severityText": word,
        "eventName": name,
        "attributes": _attributes(attributes),
    }
    trace, span = view.text("trace", "id"), view.text("trace", "span")
    if _is_hex(trace, 32) and _is_hex(span, 16):
        log |= {"traceId": trace, "spanId": span}
    return log


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and set(text) <= set("0123456789abcdef") and set(text) != {"0"}


def _attributes(values: Mapping[str, _Value]) -> list[dict[str, Any]]:
    """Attributes in the form of OTLP, without those that have no value."""
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value not in (None, "", (), [])]


def _value(value: _Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # 64-bit integers are strings in protobuf's JSON
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_value(item) for item in value or ()]}}
