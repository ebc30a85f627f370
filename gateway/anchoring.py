"""Tiles, anchors and compressed segments of a running gateway: built from its configuration, begun and ended with it.

Nothing of this is on the way of a request. The one thing that a request meets is the age of an anchor that the operator
gave a `max_age`: beyond it no request is admitted, as its record could be rewritten without anybody outside noticing,
and neither is one while such an anchor holds a head that contradicts the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from gateway.audit.anchors.anchor import Anchor, Heads
from gateway.audit.anchors.file_drop import FileAnchor
from gateway.audit.anchors.history import AnchorHistory
from gateway.audit.anchors.runner import Anchors
from gateway.audit.anchors.settings import AnchorSettings, FileDrop, WitnessAt
from gateway.audit.anchors.witness import WitnessAnchor
from gateway.audit.compress import Compressor
from gateway.audit.files import OsFiles
from gateway.audit.keys import trust_path
from gateway.audit.log import AuditLog
from gateway.audit.note import parse_vkey
from gateway.audit.record import Json
from gateway.audit.tile_keeper import TileKeeper
from gateway.config import Config
from gateway.errors import Unavailable
from gateway.health import Probe
from gateway.metrics import Metrics

_RECORD_S: Final = 10.0


class Anchoring:
    """Made on the event loop that the log's records are appended from."""

    def __init__(self, config: Config, audit: AuditLog, metrics: Metrics) -> None:
        """Raises OSError or TrustError if the log's public key is not where opening the log has put it."""
        self._audit, self._loop = audit, asyncio.get_running_loop()
        self._tiles = TileKeeper(config.audit_dir, lambda: audit.head)
        self._compressor: Compressor | None = None
        key = parse_vkey(trust_path(config.key_dir / "audit.pem", config.origin).read_text())
        if config.compress_s is not None:
            self._compressor = Compressor(config.audit_dir, key, config.compress_s, OsFiles())
        history = AnchorHistory(config.audit_dir)
        last = history.recent().last
        made = [(one, _anchor(one, config, last[one.name].size if one.name in last else 0)) for one in config.anchors]
        self._anchors = Anchors(made, lambda: Heads(config.audit_dir, key), history, self._record)
        self._limited = any(one.max_age_s is not None for one in config.anchors)
        metrics.watch_anchors(lambda: {one.settings.name: one.age_s for one in self._anchors.standings()})

    def start(self) -> None:
        """Begin. The threads do not keep the process alive."""
        self._tiles.upkeep.start()
        if self._compressor is not None:
            self._compressor.upkeep.start()
        self._anchors.start()

    async def stop(self) -> None:
        """After the log was closed: its last head is given away, too, if that takes no more than seconds."""
        await asyncio.to_thread(self._anchors.stop)
        await asyncio.to_thread(self._tiles.upkeep.stop)
        if self._compressor is not None:
            await asyncio.to_thread(self._compressor.upkeep.stop)

    def trouble(self) -> str | None:
        """Why no request may be admitted, or None."""
        return self._anchors.trouble() if self._limited else None

    def probes(self) -> dict[str, Probe]:
        """For readiness, where an anchor has a `max_age`."""

        async def anchors() -> None:
            if problem := self.trouble():
                raise Unavailable("audit_unavailable", problem)

        return {"anchors": anchors} if self._limited else {}

    def _record(self, record: Mapping[str, Json]) -> int:
        """From an anchor's thread."""
        return asyncio.run_coroutine_threadsafe(self._audit.append(record), self._loop).result(_RECORD_S).seq


def _anchor(settings: AnchorSettings, config: Config, known: int) -> Anchor:
    place = settings.place
    if isinstance(place, FileDrop):
        return FileAnchor(place)
    if isinstance(place, WitnessAt):
        return WitnessAnchor(place, config.audit_dir, known)
    # Its package is an extra, and the configuration was refused if it is not there.
    from gateway.audit.anchors.timestamp import TimestampAnchor

    return TimestampAnchor(place)
