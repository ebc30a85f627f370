"""Everything about sealed content that a running gateway has, or nothing of it where the configuration has no
`content`.

Opened before anything is served and closed after the last exchange. What a crash left unfinished is finished first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Container, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.approval import Approvers
from gateway.background import Background
from gateway.content.consent import Consent
from gateway.content.erasing import Eraser, unavailable_instead
from gateway.content.errors import ContentError
from gateway.content.holding import Holding
from gateway.content.keeper import Log, SealedKeeper
from gateway.content.settings import ContentSettings
from gateway.content.store import ContentStore
from gateway.entries import Recorder
from gateway.errors import ConfigError, GatewayError
from gateway.health import Probe
from gateway.transcript import Keeper, NothingKept


@dataclass(frozen=True, slots=True)
class Office:
    """A store with who reads, erases and holds."""

    store: ContentStore
    eraser: Eraser
    holding: Holding
    consent: Consent


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the rest of the gateway sees of it."""

    keeper: Keeper
    classes: Container[str]
    """Retention classes that a policy may ask for."""
    office: Office | None = None

    def probes(self) -> Mapping[str, Probe]:
        """What an exchange needs of it."""
        if self.office is None:
            return {}
        store = self.office.store

        async def content() -> None:
            await unavailable_instead(store.probe())

        return {"content": content}


class Records(Recorder, Log, Protocol):
    """Where records go, and whether they can."""


@asynccontextmanager
async def open_keeping(
    settings: ContentSettings | None, state: Path, origin: str, records: Records, approvers: Approvers | None = None
) -> AsyncGenerator[Keeping]:
    """Raises ConfigError when the store cannot be used; then nothing may be served."""
    if settings is None:
        yield Keeping(NothingKept(), ())
        return
    try:
        store = await asyncio.to_thread(ContentStore.open, settings, state, origin)
    except ContentError as exc:
        raise ConfigError(exc.code, exc.problem) from exc
    try:
        consent = Consent(origin, settings.two_people, approvers or {})
        office = Office(store, Eraser(store, records), Holding(store, records), consent)
        await _recover(office)
        pruning = Background()
        pruning.start(office.eraser.prune_for_ever())
        try:
            yield Keeping(SealedKeeper(store, origin, records), settings.classes, office)
        finally:
            pruning.cancel()
            await pruning.ended()
    finally:
        await store.close()


async def _recover(office: Office) -> None:
    try:
        await office.eraser.recover()
        await office.holding.recover()
    except GatewayError as exc:
        raise ConfigError("content_keystore", f"what a crash left cannot be finished: {exc.message}") from exc
