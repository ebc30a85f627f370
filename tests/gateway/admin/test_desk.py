"""Every admin route asks for a person and a role first, and every refusal is a record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.client import AdminError
from gateway.admin.desk import AdminCall, Desk
from gateway.operators import Role
from tests.gateway.live import KEY as CLIENT_KEY
from tests.gateway.live import until
from tests.gateway.live_admin import ODA, VERA, LiveAdmin


async def echo(call: AdminCall) -> Response:
    body = await call.body({"text": None})
    await call.records.append(call.record("audit.read"))
    return call.json({"text": body.get("text")})


async def broken(call: AdminCall) -> Response:
    raise RuntimeError("a bug that quotes nothing")


async def slow(call: AdminCall) -> Response:
    await call.records.append(call.record("audit.read"))
    await asyncio.Event().wait()
    raise AssertionError


def routes(desk: Desk) -> Sequence[Route]:
    return [
        desk.route("/admin/echo", "POST", (Role.AUDITOR,), echo),
        desk.route("/admin/broken", "GET", (Role.AUDITOR,), broken),
        desk.route("/admin/slow", "GET", (Role.AUDITOR,), slow),
    ]


@pytest.fixture
def live() -> Iterator[LiveAdmin]:
    with LiveAdmin(routes) as live:
        yield live


def test_who_has_the_role_gets_an_answer_and_a_record(live: LiveAdmin) -> None:
    assert live.client(VERA).post("/admin/echo", {"text": "hi"}) == {"text": "hi"}
    [record] = live.records
    assert record["actor"] == {"type": "operator", "sub": "vera", "auth": "key", "roles": ["auditor"]}
    assert (record["type"], record["http"]) == ("audit.read", {"route": "/admin/echo"})


@pytest.mark.parametrize("key", ["gh_nobody-at-all-000000", CLIENT_KEY])
def test_a_key_that_is_no_operators_is_401_and_a_record(live: LiveAdmin, key: str) -> None:
    with pytest.raises(AdminError) as error:
        live.client(key).post("/admin/echo", {})
    assert error.value.code == "invalid_operator_key"
    [record] = live.records
    assert (record["type"], record["err"]["code"]) == ("auth.fail", "invalid_operator_key")
    assert "actor" not in record


def test_the_wrong_role_is_403_and_a_record_with_the_name(live: LiveAdmin) -> None:
    with pytest.raises(AdminError) as error:
        live.client(ODA).post("/admin/echo", {})
    assert error.value.code == "role_missing"
    [record] = live.records
    assert (record["type"], record["actor"]["sub"], record["err"]["code"]) == ("auth.fail", "oda", "role_missing")


def test_no_record_no_refusal_either(live: LiveAdmin) -> None:
    live.log.fail_from = 0
    with pytest.raises(AdminError) as error:
        live.client(ODA).post("/admin/echo", {})
    assert error.value.code == "audit_unavailable"


def test_a_bug_is_500_without_its_words(live: LiveAdmin) -> None:
    response = httpx.get(live.url + "/admin/broken", headers={"authorization": f"Bearer {VERA}"}, trust_env=False)
    assert response.status_code == 500
    assert "quotes" not in response.text


def test_an_unknown_field_is_refused(live: LiveAdmin) -> None:
    with pytest.raises(AdminError) as error:
        live.client(VERA).post("/admin/echo", {"txt": "hi"})
    assert error.value.code == "unknown_field"


def test_a_route_without_a_role_cannot_be_made(live: LiveAdmin) -> None:
    for path, roles in (("/admin/x", ()), ("/x", (Role.AUDITOR,))):
        with pytest.raises(ValueError, match="names a role"):
            Desk(None, None).route(path, "GET", roles, echo)  # type: ignore[arg-type] # not reached


def test_who_waits_when_the_drain_is_over_is_told_that_the_gateway_stops() -> None:
    with ThreadPoolExecutor(1) as pool:
        with LiveAdmin(routes) as live:
            asked = pool.submit(live.client(VERA).get, "/admin/slow")
            until(lambda: len(live.records) == 1)
        with pytest.raises(AdminError) as error:
            asked.result(10)
    assert error.value.code == "shutting_down"
