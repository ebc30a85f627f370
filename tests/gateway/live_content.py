"""An admin listener with a content store behind it, on one event loop, and what the gateway would have kept in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from gateway.admin.content_routes import content_routes
from gateway.admin.erasure_routes import erasure_routes
from gateway.content.consent import Consent
from gateway.content.erasing import Eraser
from gateway.content.holding import Holding
from gateway.content.keys import Place
from gateway.content.office import Office
from gateway.content.store import ContentStore, Item
from tests.gateway.content.opened import CANARY, ORIGIN, settings
from tests.gateway.live_admin import PAUL, LiveAdmin

T = TypeVar("T")


class LiveContent:
    """Use as a context. Holds two exchanges of alice, one of bob, one of nobody, each with request and answer."""

    def __init__(self, directory: Path, consent: Consent | None = None) -> None:
        self._consent = consent or Consent(ORIGIN)
        self.log = directory / "audit"
        (self.log / "seg").mkdir(parents=True)
        self.store = ContentStore.open(settings(directory), directory / "state", ORIGIN)
        self.tokens: dict[str, str] = {}
        self.admin = LiveAdmin(lambda desk: [
            *content_routes(desk, self.office, self.log, b"k" * 32), *erasure_routes(desk, self.office)
        ], before=self._opened)  # fmt: skip
        self.lock = threading.Lock()

    def _opened(self, records: Any) -> None:
        self.office = Office(self.store, Eraser(self.store, records), Holding(self.store, records), self._consent)

    def __enter__(self) -> LiveContent:
        asyncio.run(self._fill())
        self.admin.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.admin.__exit__(kind, exc, at)
        asyncio.run(self.store.close())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    @property
    def records(self) -> list[dict[str, Any]]:
        return self.admin.records

    def post(self, path: str, body: dict[str, Any], key: str = PAUL) -> dict[str, Any]:
        return self.admin.client(key).post(f"/admin/content/{path}", body)

    async def _fill(self) -> None:
        for name, req in (("alice", "r1"), ("alice", "r2"), ("bob", "r3"), ("", "r4")):
            if name:
                token = await self.store.do(lambda keys, n=name: keys.token("tenant-a", n, may_create=True))  # type: ignore[misc] # of the loop
                self.tokens[name] = str(token)
            for level, value in (
                ("request", {"parts": [{"path": "/m", "scope": "user", "role": "user", "text": f"{CANARY} {req}"}]}),
                ("response", {"released": [{"choice": 0, "channel": "content", "text": f"answer {CANARY}"}]}),
            ):
                place = Place(f"{req}-{level}", req, "tenant-a", "default", level, ORIGIN)
                await self.store.keep(Item(place, self.tokens.get(name) or req, value))  # type: ignore[arg-type] # JSON
