"""The table of admin routes: each refuses who has no key, and what is not in it is not there."""

from __future__ import annotations

import httpx
import pytest

from gateway.admin.client import AdminError
from gateway.admin.desk import Desk
from gateway.admin.routes import admin_routes
from tests.gateway.live_admin import PAUL, LiveAdmin


def test_every_route_refuses_who_has_no_key() -> None:
    with LiveAdmin() as live:
        for route in admin_routes(Desk(None, None)):  # type: ignore[arg-type] # not called
            for method in (route.methods or set()) - {"HEAD"}:
                path = route.path.replace("{", "").replace("}", "").replace(":path", "")
                assert httpx.request(method, live.url + path, trust_env=False).status_code == 401, path


def test_whoami_says_who_and_leaves_a_record() -> None:
    with LiveAdmin() as live:
        assert live.client(PAUL).get("/admin/whoami") == {"name": "paul", "roles": ["privacy_officer"]}
        [record] = live.records
        assert (record["type"], record["actor"]["sub"]) == ("auth.ok_admin", "paul")


def test_what_is_not_in_the_table_is_404() -> None:
    with LiveAdmin() as live, pytest.raises(AdminError) as error:
        live.client(PAUL).get("/admin/anything")
    assert error.value.code == "no_such_route"
