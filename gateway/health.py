"""Is this process of use? /livez says it runs; /readyz says that an exchange could succeed now.

Readiness is what a probe saw in the last seconds, so asking for it costs nothing and cannot be used to load the guards.
A change of a probe is a record: when guards were away is part of the evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from gateway.errors import GatewayError
from gateway.metrics import Metrics
from gateway.records import Records

PROBE_EVERY_S: Final = 1.0
log = structlog.get_logger()
Probe = Callable[[], Awaitable[None]]
"""Returns when the thing works, raises GatewayError when it does not."""


class Health:
    """Runs the probes and remembers what they said."""

    def __init__(self, probes: Mapping[str, Probe], records: Records, metrics: Metrics) -> None:
        self._probes, self._records, self._metrics = probes, records, metrics
        self._state: dict[str, str] = dict.fromkeys(probes, "not probed yet")
        self.draining = False

    def state(self) -> dict[str, str]:
        """Name of each thing an exchange needs -> `ok`, or why not."""
        audit = "ok" if self._records.healthy else "audit_unavailable"
        return {**self._state, "audit": audit, **({"process": "draining"} if self.draining else {})}

    @property
    def ready(self) -> bool:
        """Whether everything an exchange needs is there."""
        return all(said == "ok" for said in self.state().values())

    async def watch(self) -> None:
        """Probe for ever. One task of the process."""
        while True:
            for name, probe in self._probes.items():
                await self._look(name, probe)
            self._metrics.ready.set(self.ready)
            await asyncio.sleep(PROBE_EVERY_S)

    async def _look(self, name: str, probe: Probe) -> None:
        try:
            await probe()
            said = "ok"
        except GatewayError as exc:
            said = exc.code
        if said == self._state[name]:
            return
        self._state[name] = said
        log.info("probe_changed", probe=name, state=said)
        try:
            up = "guard.up" if said == "ok" else "guard.down"
            await self._records.append({"type": up, "stage": "complete", "probe": name, "err": {"code": said}})
        except GatewayError:
            log.warning("probe_not_recorded", probe=name)
