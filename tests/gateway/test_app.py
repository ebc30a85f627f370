"""The routes as a client meets them: a key first, a code for everything, a record of every request, never an echo."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.app import make_admin_app
from gateway.errors import GatewayError, Unavailable, UpstreamFailed, UpstreamTimeout
from tests.doubles import MemoryLog
from tests.gateway.live import CHAT, KEY, Live, head, in_force, until

CANARY = "canary-of-the-app"
ROUTES = [("POST", CHAT), ("POST", "/v1/moderations"), ("GET", "/v1/models"), ("GET", "/v1/models/m")]


def code(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code", "gatehouse"}
    assert error["gatehouse"]["request_id"] == response.headers["x-request-id"]
    return str(error["code"])


def test_a_good_exchange_is_an_answer_with_its_record_number(live: Live) -> None:
    response = live.chat()
    assert response.json()["choices"][0]["message"]["content"] == "a fine answer"
    assert response.headers["gatehouse-record"] == "0"
    assert live.types() == ["request.admit", "response.complete"]
    assert {record["req"] for record in live.records} == {response.headers["x-request-id"]}
    assert live.records[0]["tenant"] == "tenant-a"


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", [{}, {"authorization": f"Bearer {KEY}x"}, {"authorization": f"Basic {KEY}"}])
def test_without_a_key_of_ours_there_is_a_401_and_a_record(
    live: Live, method: str, path: str, header: dict[str, str]
) -> None:
    response = httpx.request(method, live.url + path, headers=header, content=CANARY)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert code(response) in ("missing_api_key", "invalid_api_key")
    [record] = live.records
    assert record["type"] == "auth.fail"
    assert record["http"]["route"] == path.replace("/models/m", "/models/{name:path}")
    assert "tenant" not in record
    assert CANARY not in json.dumps(record)
    assert KEY not in json.dumps(record)
    assert live.server.bodies == []


def test_who_asks_is_what_the_key_says_and_nothing_else(live: Live) -> None:
    """Promise 6: headers and fields that claim another tenant change nothing."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "user": "root", "metadata": {"tenant": "b"}}
    live.post(body, **{"x-tenant": "b", "openai-organization": "b", "x-forwarded-user": "root"})
    assert {record["tenant"] for record in live.records} == {"tenant-a"}
    assert "root" not in json.dumps(live.records + live.server.bodies)


def test_a_flood_of_wrong_keys_is_answered_but_not_all_of_it_is_recorded() -> None:
    with Live(failed_logins_per_s=1) as live, httpx.Client() as client:
        answers = [client.get(live.url + "/v1/models").status_code for _ in range(120)]
    assert set(answers) == {401}
    assert 10 <= len(live.records) < 30
    assert live.metric("gatehouse_auth_records_suppressed_total") == 120 - len(live.records)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", CHAT), ("DELETE", CHAT), ("PUT", "/v1/moderations"), ("TRACE", CHAT), ("POST", "/v1/models"),
     ("OPTIONS", CHAT), ("POST", "/livez")],
)  # fmt: skip
def test_another_method_is_405(live: Live, method: str, path: str) -> None:
    response = httpx.request(method, live.url + path, headers={"authorization": f"Bearer {KEY}"})
    assert (response.status_code, code(response)) == (405, "method_not_allowed")
    assert method not in response.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/v1/completions", "/v1/responses", "/v2/chat/completions", "/v1/files", "/docs", "/v1"]
)
def test_an_unknown_route_is_404_and_passes_nothing_on(live: Live, path: str) -> None:
    response = live.post({"prompt": CANARY}, path)
    assert (response.status_code, code(response)) == (404, "no_such_route")
    assert CANARY not in response.text


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"", 400, "invalid_json"), (b"\xff", 400, "not_utf8"), (b'{"model":"m","model":"m"}', 400, "duplicate_key"),
        ({"model": "m"}, 400, "invalid_value"), ({f"{CANARY} as prose": 1}, 400, "unknown_field"),
        ({"model": CANARY, "messages": [{"role": "user", "content": CANARY}]}, 404, "model_not_found"),
        ({"model": "m", "messages": [{"role": "user", "content": "x" * 20_001}]}, 400, "input_too_long"),
        ({"model": "m", "messages": [{"role": "user", "content": "x" * 70_000}]}, 413, "body_too_large"),
        ({"model": "m", "messages": [{"role": CANARY, "content": CANARY}]}, 400, "invalid_value"),
    ],
)  # fmt: skip
def test_bad_bodies_have_a_code_a_record_and_no_echo(live: Live, body: Any, status: int, expected: str) -> None:
    response = live.post(body)
    assert (response.status_code, code(response)) == (status, expected)
    assert CANARY not in response.text
    [record] = live.records
    assert (record["type"], record["stage"], record["err"]["code"]) == ("request.refuse", "complete", expected)
    assert record["http"]["status"] == status
    assert CANARY not in json.dumps(record)
    assert live.server.bodies == []
    assert live.metric("gatehouse_in_flight") == 0


def test_half_a_body_is_a_record_and_never_a_request(live: Live) -> None:
    with live.connect() as sock:
        sock.sendall(head(1000) + b'{"model":"m","messages":[')
    until(lambda: len(live.records) == 1)
    assert live.records[0]["err"]["code"] == "incomplete_body"
    until(lambda: live.metric("gatehouse_in_flight") == 0)


def test_a_blocked_prompt_is_400_in_the_form_that_clients_read(live: Live) -> None:
    response = live.chat("this is BAD")
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["gatehouse"]["code"]) == ("content_filter", "unsafe_content")
    assert error["gatehouse"]["record"] == 0
    assert live.types() == ["request.refuse"]
    assert live.server.bodies == []


FAILURES: list[tuple[GatewayError, int]] = [
    (UpstreamFailed("upstream_bad_answer", "scripted"), 502),
    (UpstreamTimeout("upstream_timeout", "scripted"), 504),
    (Unavailable("upstream_unreachable", "scripted"), 503),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("failure", "status"), FAILURES, ids=lambda value: getattr(value, "code", value))
def test_a_model_server_that_fails_is_a_status_and_one_closing_record(
    live: Live, failure: GatewayError, status: int, stream: bool
) -> None:
    live.server.events = (failure,)
    response = live.chat(stream=stream)
    assert (response.status_code, code(response)) == (status, failure.code)
    assert (response.headers.get("retry-after") is not None) == (status == 503)
    assert live.types() == ["request.admit", "response.abort"]
    assert live.records[1]["err"]["code"] == failure.code


@pytest.mark.parametrize("stream", [False, True])
def test_a_bug_is_a_500_with_a_record_and_without_its_text(live: Live, stream: bool) -> None:
    live.server.events = (KeyError(CANARY),)
    response = live.chat(stream=stream)
    assert (response.status_code, code(response)) == (500, "internal_error")
    assert CANARY not in response.text
    assert live.types() == ["request.admit", "response.abort"]
    assert live.metric("gatehouse_in_flight") == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("records", [0, 1])
def test_no_record_no_answer(records: int, stream: bool) -> None:
    with Live(log=MemoryLog(fail_from=records)) as live:
        response = live.chat(stream=stream)
        assert (response.status_code, code(response)) == (503, "audit_unavailable")
        assert "fine answer" not in response.text
        assert len(live.server.bodies) == records
        assert live.get("/readyz").status_code == 503


@pytest.mark.parametrize("body", [b"{", {"model": "m", "messages": []}])
def test_a_refusal_that_cannot_be_recorded_is_503(body: Any) -> None:
    with Live(log=MemoryLog(fail_from=0)) as live:
        assert code(live.post(body)) == "audit_unavailable"
        assert live.post(body, authorization="Bearer nope").status_code == 503


def test_models_are_listed_to_who_has_a_key(live: Live) -> None:
    body = live.get("/v1/models").json()
    assert [(row["id"], row["object"], row["owned_by"]) for row in body["data"]] == [("m", "model", "gatehouse")]
    assert live.get("/v1/models/m").json()["id"] == "m"
    assert "POST /v1/chat/completions" in live.get("/v1/responses").json()["error"]["message"]
    missing = live.get(f"/v1/models/{CANARY}")
    assert (missing.status_code, code(missing)) == (404, "model_not_found")
    assert CANARY not in missing.text
    live.server.models_error = Unavailable("upstream_unreachable", "scripted")
    assert code(live.get("/v1/models")) == "upstream_unreachable"


def test_health_needs_no_key_and_says_what_is_wrong(live: Live) -> None:
    assert httpx.get(live.url + "/livez").json() == {"status": "ok"}
    assert httpx.get(live.url + "/readyz").json() == {"status": "ok", "checks": {"audit": "ok"}}
    live.health.draining = True
    drained = httpx.get(live.url + "/readyz")
    assert (drained.status_code, drained.json()["checks"]["process"]) == (503, "draining")
    assert httpx.get(live.url + "/livez").status_code == 200, "a process that drains must not be killed for it"


def test_metrics_count_outcomes_and_hold_no_text() -> None:
    with Live() as live:
        live.chat(CANARY)
        live.chat(f"BAD {CANARY}")
        live.post({CANARY: CANARY})
        text = httpx.get(live.url + "/metrics").text
    for code_, outcome in (("", "allow"), ("unsafe_content", "block"), ("unknown_field", "error")):
        assert f'gatehouse_exchanges_total{{code="{code_}",outcome="{outcome}",route="{CHAT}"}} 1.0' in text
    assert "gatehouse_in_flight 0.0" in text
    assert CANARY not in text


async def test_the_admin_listener_has_no_route_to_a_model(live: Live) -> None:
    transport = httpx.ASGITransport(make_admin_app(live.health, live.metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
        assert (await admin.get("/livez")).status_code == 200
        assert (await admin.get("/metrics")).status_code == 200
        for method, path in ROUTES:
            assert (await admin.request(method, path, headers={"authorization": f"Bearer {KEY}"})).status_code == 404


def test_records_of_everything_above_hold_no_text_and_no_key(live: Live) -> None:
    for text in (CANARY, f"BAD {CANARY}"):
        for stream in (False, True):
            live.chat(text, stream=stream, user=CANARY, stop=[CANARY])
    live.post({"model": "m", "messages": [{"role": "user", "content": CANARY, "name": CANARY}], CANARY: CANARY})
    assert len(live.records) == 7
    assert CANARY not in json.dumps(live.records)
    assert KEY not in json.dumps(live.records)


def test_a_policy_for_one_tenant_is_that_tenants_and_its_records_name_it() -> None:
    with Live() as live:
        other = in_force()
        live.bound["tenant-a"] = replace(other, policy=replace(other.policy, name="for-tenant-a"))
        live.chat()
        live.bound.clear()
        live.chat()
    names = [record["policy"]["name"] for record in live.records if record["type"] == "request.admit"]
    assert names == ["for-tenant-a", other.policy.name]


@pytest.mark.parametrize("path", [CHAT, "/v1/moderations", "/v1/models"])
def test_a_claim_that_the_key_does_not_let_the_client_make_is_refused(live: Live, path: str) -> None:
    headers = {"authorization": f"Bearer {KEY}", "x-gatehouse-role": CANARY}
    method = "GET" if path == "/v1/models" else "POST"
    response = httpx.request(method, live.url + path, headers=headers)
    assert (response.status_code, code(response)) == (400, "claim_refused")
    assert CANARY not in response.text + json.dumps(live.records)
