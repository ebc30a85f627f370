"""The admin listener on a real socket, with a double for the log: what operators and their commands meet."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from starlette.routing import Route

from gateway.admin.client import AdminClient
from gateway.admin.desk import Desk
from gateway.admin.routes import admin_routes
from gateway.app import make_admin_app
from gateway.health import Health
from gateway.listening import Server, settings
from gateway.metrics import Metrics
from gateway.operators import Operator, OperatorEntry, OperatorRing, Role
from gateway.records import Records
from tests.doubles import MemoryLog

VERA, PAUL, ODA = "gh_vera-the-auditor-0001", "gh_paul-privacy-officer-0002", "gh_oda-the-operator-0003"
RITA = "gh_rita-the-reviewer-0004"
PEOPLE = {
    VERA: Operator("vera", frozenset({Role.AUDITOR})),
    PAUL: Operator("paul", frozenset({Role.PRIVACY_OFFICER})),
    ODA: Operator("oda", frozenset({Role.OPERATOR})),
    RITA: Operator("rita", frozenset({Role.REVIEWER}), frozenset({"payments"})),
}


def ring() -> OperatorRing:
    return OperatorRing(
        OperatorEntry(hashlib.sha256(key.encode()).hexdigest(), operator) for key, operator in PEOPLE.items()
    )


class LiveAdmin:
    """Use as a context. `routes` makes the table from the desk; by default it is the gateway's own."""

    def __init__(
        self,
        routes: Callable[[Desk], Sequence[Route]] = admin_routes,
        *,
        log: Any = None,
        logins_per_s: float = 100.0,
        before: Callable[[Records], None] = lambda _: None,
    ) -> None:
        """`before` is told of the records before the routes are made."""
        self.log = log or MemoryLog()
        metrics = Metrics()
        self.accounts = Records(self.log, metrics, logins_per_s)
        before(self.accounts)
        app = make_admin_app(Health({}, self.accounts, metrics), metrics, routes(Desk(ring(), self.accounts)))
        self._listener = socket.socket(fileno=socket.create_server(("127.0.0.1", 0)).detach())
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._uvicorn = Server(settings(app, 1))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._uvicorn.serve([self._listener])))

    def __enter__(self) -> LiveAdmin:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not stop"
        self._listener.close()

    def client(self, key: str = VERA) -> AdminClient:
        return AdminClient(self.url, key)

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(self.log.records)
