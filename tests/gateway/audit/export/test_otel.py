"""OTLP/JSON as its mapping is defined: 64-bit integers as strings, attributes as pairs, GenAI names."""

from __future__ import annotations

from typing import Any

from gateway.audit.export.otel import message
from gateway.audit.export.view import View
from tests.gateway.audit.export.golden_files import GOLDEN, LINES, VIEWS, exported, objects

FORBIDDEN = {
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.evaluation.explanation",
    "gen_ai.prompt", "gen_ai.completion",
}  # fmt: skip


def logs(sent: dict[str, Any]) -> list[dict[str, Any]]:
    [resource] = sent["resourceLogs"]
    [scope] = resource["scopeLogs"]
    found: list[dict[str, Any]] = scope["logRecords"]
    return found


def attributes(log: dict[str, Any]) -> dict[str, Any]:
    pairs = [(pair["key"], *pair["value"].items()) for pair in log["attributes"]]
    assert len({key for key, _ in pairs}) == len(pairs), "a name twice"
    return {key: value for key, (_, value) in pairs}


def test_golden() -> None:
    assert exported("otel") == (GOLDEN / "export.otel.jsonl").read_bytes()
    assert len(exported("otel").splitlines()) == len(LINES)


def test_each_verdict_is_an_evaluation_beside_its_record() -> None:
    for view, sent in zip(VIEWS, objects(exported("otel")), strict=True):
        first, *others = logs(sent)
        assert first["eventName"] == f"gatehouse.{view.type}"
        assert {log["eventName"] for log in others} <= {"gen_ai.evaluation.result"}
        assert [attributes(log)["gen_ai.evaluation.name"] for log in others] == [one.detector for one in view.scores]


def test_an_evaluation_has_a_score_and_a_label_or_an_error() -> None:
    answer = next(view for view in VIEWS if view.type == "response.complete")
    _, harm, inject = map(attributes, logs(message(answer)))
    assert (harm["gen_ai.evaluation.score.value"], harm["gen_ai.evaluation.score.label"]) == (0.91, "fail")
    assert inject["error.type"] == "timeout"
    assert "gen_ai.evaluation.score.value" not in inject


def test_values_have_the_form_of_otlp() -> None:
    for log in (log for sent in objects(exported("otel")) for log in logs(sent)):
        assert isinstance(log["timeUnixNano"], str)
        assert log["timeUnixNano"].isdigit()
        assert 1 <= log["severityNumber"] <= 24
        for pair in log["attributes"]:
            [(kind, value)] = pair["value"].items()
            expected = {"stringValue": str, "intValue": str, "doubleValue": float, "arrayValue": dict}[kind]
            assert isinstance(value, expected)


def test_nothing_that_holds_content_is_set() -> None:
    names = {name for sent in objects(exported("otel")) for log in logs(sent) for name in attributes(log)}
    assert not names & FORBIDDEN
    assert {"gen_ai.request.model", "gen_ai.response.model", "gen_ai.usage.input_tokens"} <= names


def test_a_trace_is_joined_only_if_it_is_one() -> None:
    good = {"trace": {"id": "0af7651916cd43dd8448eb211c80319c", "span": "b7ad6b7169203331"}}
    assert logs(message(View(good, b"")))[0]["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    for bad in ("0" * 32, "x" * 32, "0AF7651916CD43DD8448EB211C80319C", ""):
        assert "traceId" not in logs(message(View({"trace": {"id": bad, "span": "b7ad6b7169203331"}}, b"")))[0]
