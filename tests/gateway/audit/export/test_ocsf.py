"""OCSF events against what schema 1.9.0-dev requires of the two classes, their objects and the profiles.

The tables hold the schema's facts: required attributes, of which at least one, and the enumerations that are used.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from gateway.audit.export.ocsf import VERSION, events
from gateway.audit.export.view import View
from tests.gateway.audit.export.golden_files import GOLDEN, LINES, VIEWS, exported, objects

BASE = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
REQUIRED = {6003: BASE | {"actor", "api", "src_endpoint"}, 2004: BASE | {"finding_info"}}
CATEGORY = {6003: 6, 2004: 2}
ACTIVITIES = {6003: {0, 1, 2, 3, 4, 99}, 2004: {0, 1, 2, 3, 99}}
OBJECTS: dict[str, tuple[set[str], set[str]]] = {
    # name: (required, at least one of these)
    "metadata": ({"product", "version"}, set()),
    "product": (set(), {"name", "uid"}),
    "api": ({"operation"}, set()),
    "request": ({"uid"}, set()),
    "service": (set(), {"name", "uid"}),
    "actor": (set(), {"process", "user", "iam_role", "invoked_by", "session", "app_name", "app_uid"}),
    "user": (set(), {"account", "name", "uid"}),
    "org": (set(), {"name", "uid"}),
    "src_endpoint": (set(), {"ip", "uid", "name", "hostname", "svc_name", "instance_uid", "interface_uid", "domain"}),
    "finding_info": ({"uid"}, set()),
    "analytic": ({"type_id"}, {"name", "uid"}),
    "related_analytics": ({"type_id"}, {"name", "uid"}),
    "related_events": ({"uid"}, set()),
    "attestation_list": (set(), {"fingerprint", "signatures"}),
    "fingerprint": ({"algorithm_id", "value"}, set()),
    "raw_data_hash": ({"algorithm_id", "value"}, set()),
    "prev_event": ({"uid"}, set()),
    "ai_model": ({"ai_provider", "name"}, {"name", "uid"}),
    "message_context": (set(), {"application", "service"}),
    "application": (set(), {"name", "uid"}),
    "policy": (set(), {"name", "type", "uid"}),
    "http_response": ({"code"}, set()),
}
SIMPLE = {
    "activity_id", "activity_name", "action", "action_id", "category_name", "category_uid", "class_name", "class_uid",
    "disposition", "disposition_id", "is_alert", "message", "raw_data_size", "severity", "severity_id", "status",
    "status_code", "status_id", "time", "type_uid", "unmapped",
}  # fmt: skip
OF_A_PROFILE = {
    "ai_operation": {"ai_model", "message_context", "ai_agent"},
    "record_integrity": {"attestation_list"},
    "security_control": {"action_id", "action", "disposition_id", "disposition", "policy"},
}
EVENTS = objects(exported("ocsf"))


def test_golden() -> None:
    assert exported("ocsf") == (GOLDEN / "export.ocsf.jsonl").read_bytes()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["metadata"]["uid"])
def test_events_have_what_the_schema_requires(event: dict[str, Any]) -> None:
    kind = event["class_uid"]
    assert event.keys() >= REQUIRED[kind]
    assert event["type_uid"] == kind * 100 + event["activity_id"]
    assert event["category_uid"] == CATEGORY[kind]
    assert event["activity_id"] in ACTIVITIES[kind]
    assert 0 <= event["severity_id"] <= 6
    assert event["status_id"] in {1, 2}
    assert event["activity_id"] != 99 or event["activity_name"]
    assert event["metadata"]["version"] == VERSION
    assert event.keys() <= SIMPLE | OBJECTS.keys()
    check_objects(event)


def check_objects(value: object) -> None:
    for key, inner in value.items() if isinstance(value, dict) else []:
        for item in inner if isinstance(inner, list) else [inner]:
            if isinstance(item, dict) and key in OBJECTS:
                required, one_of = OBJECTS[key]
                assert item.keys() >= required, key
                assert not one_of or item.keys() & one_of, key
            if key != "unmapped":
                check_objects(item)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["metadata"]["uid"])
def test_attributes_of_a_profile_stand_where_the_profile_is_named(event: dict[str, Any]) -> None:
    profiles = set(event["metadata"]["profiles"])
    for profile, attributes in OF_A_PROFILE.items():
        assert profile in profiles or not event.keys() & attributes
    assert "ai_operation" not in profiles or event["class_uid"] == 6003, "findings do not take that profile"


def test_events_of_a_log_are_a_chain_without_a_gap() -> None:
    """Each event names the one before by its place and by the digest that event has itself."""
    chain = [event["attestation_list"][0] for event in EVENTS if event["class_uid"] == 6003]
    assert "prev_event" not in chain[0]
    for before, after in pairwise(chain):
        assert after["prev_event"]["uid"] == before["uid"]
        assert after["prev_event"]["fingerprint"]["value"] == before["fingerprint"]["value"]
    assert len(chain) == len(LINES)


def test_findings_are_where_a_rule_acted_and_nowhere_else() -> None:
    found = {event["metadata"]["event_code"]: event for event in EVENTS if event["class_uid"] == 2004}
    assert set(found) == {"request.refuse", "response.complete"}
    assert (found["request.refuse"]["is_alert"], found["response.complete"]["is_alert"]) == (True, False)
    assert found["request.refuse"]["finding_info"]["analytic"]["name"] == "no-weapons"


def test_uids_are_unique() -> None:
    uids = [event["metadata"]["uid"] for event in EVENTS]
    assert len(set(uids)) == len(uids)


def test_what_the_profile_could_hold_of_texts_is_never_there() -> None:
    contexts = [event["message_context"] for view in VIEWS for event in events(view) if "message_context" in event]
    assert contexts
    assert not any({"prompt_text", "response_text"} & context.keys() for context in contexts)


def test_a_record_with_nothing_in_it_is_still_a_valid_event() -> None:
    [event] = events(View({}, b"{}"))
    assert event.keys() >= REQUIRED[6003]
    check_objects(event)
