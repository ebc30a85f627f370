"""Records as OCSF events: API Activity for every record, and a Detection Finding beside it where a rule acted.

Schema 1.9.0-dev, with the profiles ai_operation (API Activity only), record_integrity and security_control. A released
schema has no record_integrity yet; consumers of 1.x ignore attributes that they do not know.

OCSF says that an attestation's fingerprint is taken over the event itself. Ours is the leaf hash of the record as it is
stored, since that is what the log signs: `serialization` says so, and `raw_data_hash` has the plain SHA-256 of the same
bytes. Whoever wants proof takes the record by its number and runs `gatehouse audit prove`;
an exported event proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

from gateway.audit.export.view import PRODUCT, VENDOR, Severity, View

VERSION: Final = "1.9.0-dev"
_API_ACTIVITY: Final = 6003
_DETECTION_FINDING: Final = 2004
_PROFILES: Final = ["record_integrity", "security_control"]
_SHA256, _BASE64, _HEX, _OTHER = 3, 2, 1, 99
_SEVERITIES: Final = {
    Severity.INFORMATION: "Informational",
    Severity.LOW: "Low",
    Severity.MEDIUM: "Medium",
    Severity.HIGH: "High",
}
_ACTIVITIES: Final = {
    "key.create": (1, "Create"),
    "audit.read": (2, "Read"),
    "audit.query": (2, "Read"),
    "content.read": (2, "Read"),
    "content.export": (2, "Read"),
    "policy.activate": (3, "Update"),
    "config.change": (3, "Update"),
    "content.erase": (4, "Delete"),
    "retention.prune": (4, "Delete"),
}
_CONTROLS: Final = {
    "block": {"action_id": 2, "action": "Denied", "disposition_id": 2, "disposition": "Blocked"},
    "modified": {"action_id": 4, "action": "Modified", "disposition_id": 11, "disposition": "Corrected"},
    "allow": {"action_id": 1, "action": "Allowed", "disposition_id": 1, "disposition": "Allowed"},
}
_LEARNED, _RULE = 4, 1
_USER, _ASSISTANT = 1, 2


def events(view: View) -> Iterator[dict[str, Any]]:
    """One or two events."""
    yield _api_activity(view)
    if view.is_finding:
        yield _finding(view)


def _api_activity(view: View) -> dict[str, Any]:
    activity_id, activity = _ACTIVITIES.get(view.type, (_OTHER, view.type or "unknown"))
    event = _base(view, _API_ACTIVITY, activity_id, activity, view.uid)
    event |= {"category_uid": 6, "category_name": "Application Activity", "class_name": "API Activity"}
    event |= {"actor": _actor(view), "src_endpoint": {"name": view.text("app") or view.origin}, "api": _api(view)}
    if view.code:
        event |= {"status_id": 2, "status": "Failure", "status_code": view.code}
    else:
        event |= {"status_id": 1, "status": "Success"}
    event |= _ai(view)
    if event.keys() & {"ai_model", "message_context"}:
        event["metadata"]["profiles"] = ["ai_operation", *_PROFILES]
    status = view.number("http", "status")
    if status is not None:
        event["http_response"] = {"code": status}
    return event


def _api(view: View) -> dict[str, Any]:
    api: dict[str, Any] = {"operation": view.type or "unknown", "service": {"name": PRODUCT}}
    if view.text("req"):
        api["request"] = {"uid": view.text("req")}
    return api


def _actor(view: View) -> dict[str, Any]:
    if not view.who:
        return {"app_name": PRODUCT, "app_uid": view.origin or PRODUCT}
    is_person = view.text("actor", "type") == "operator"
    user: dict[str, Any] = {"uid": view.who, "type_id": 2 if is_person else 4}
    if view.text("tenant"):
        user["org"] = {"name": view.text("tenant")}
    return {"user": user} | ({"app_name": view.text("app")} if view.text("app") else {})


def _ai(view: View) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if view.model:
        said["ai_model"] = {"name": view.model, "ai_provider": view.text("target", "upstream") or "unknown"}
        if view.text("target", "model_digest"):
            said["ai_model"]["uid"] = view.text("target", "model_digest")
    if view.is_decision:
        is_answer = view.type.startswith("response.")
        context: dict[str, Any] = {"ai_role_id": _ASSISTANT if is_answer else _USER}
        context |= {"application": {"name": view.text("app") or "unknown"}}
        if view.tokens_in is not None and view.tokens_out is not None:
            context |= {"prompt_tokens": view.tokens_in, "completion_tokens": view.tokens_out}
            context["total_tokens"] = view.tokens_in + view.tokens_out
        said["message_context"] = context
    return said


def _finding(view: View) -> dict[str, Any]:
    event = _base(view, _DETECTION_FINDING, 1, "Create", f"{view.uid}/finding")
    event |= {"category_uid": 2, "category_name": "Findings", "class_name": "Detection Finding"}
    rules = view.rules or view.flags
    title = " ".join(filter(None, (view.action, view.code))) or view.type
    event |= {"status_id": 1, "status": "New", "is_alert": view.outcome == "block"}
    event["finding_info"] = {
        "uid": event["metadata"]["uid"],
        "title": f"{title}: {', '.join(rules)}" if rules else title,
        "created_time": view.ts_ns // 10**6,
        "analytic": {"type_id": _RULE, "type": "Rule", "name": rules[0] if rules else title},
        "related_analytics": [
            {"type_id": _LEARNED, "type": "Learning (ML/DL)", "name": name} for name in sorted(view.highest)
        ],
        "related_events": [{"uid": view.uid, "type_uid": _API_ACTIVITY * 100 + _OTHER}],
    }
    return event


def _base(view: View, class_uid: int, activity_id: int, activity: str, uid: str) -> dict[str, Any]:
    event: dict[str, Any] = {
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": class_uid * 100 + activity_id,
        "time": view.ts_ns // 10**6,
        "severity_id": int(view.severity),
        "severity": _SEVERITIES[view.severity],
        "message": " ".join(filter(None, (view.type, view.action, view.code))),
        "metadata": _metadata(view, uid),
        "attestation_list": [_attestation(view)],
        "raw_data_hash": {"algorithm_id": _SHA256, "encoding_id": _HEX, "value": sha256(view.raw).hexdigest()},
        "raw_data_size": len(view.raw),
    }
    if view.is_decision:
        event |= _CONTROLS.get(view.outcome, {})
        policy = {"name": view.text("policy", "name"), "uid": view.policy_digest}
        event["policy"] = {key: value for key, value in policy.items() if value} or {"name": "unknown"}
        unmapped = {
            "rules": list(view.rules),
            "flags": list(view.flags),
            "scores_ppm": dict(sorted(view.highest.items())),
        }
        event["unmapped"] = {"gatehouse": unmapped}
    return event


def _metadata(view: View, uid: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "version": VERSION,
        "product": {"name": PRODUCT, "vendor_name": VENDOR, "version": view.text("inst", "version") or "unknown"},
        "profiles": list(_PROFILES),
        "uid": uid,
        "sequence": view.seq,
        "event_code": view.type,
        "log_name": view.origin,
        "original_time": view.text("ts"),
    }
    more = {"correlation_uid": view.text("req"), "tenant_uid": view.text("tenant")}
    return metadata | {key: value for key, value in more.items() if value}


def _attestation(view: View) -> dict[str, Any]:
    said: dict[str, Any] = {
        "uid": view.uid,
        "authority_uid": view.origin,
        "chain_uid": view.origin,
        "fingerprint": _fingerprint(view.leaf),
    }
    if view.seq > 0:
        before = f"{view.origin}/{view.seq - 1}"
        said["prev_event"] = {"uid": before, "fingerprint": _fingerprint(view.text("prev"))}
    return said


def _fingerprint(leaf: str) -> dict[str, Any]:
    return {
        "algorithm_id": _SHA256,
        "algorithm": "SHA-256",
        "encoding_id": _BASE64,
        "serialization_id": _OTHER,
        "serialization": "RFC 6962 leaf of the stored record",
        "value": leaf,
    }
