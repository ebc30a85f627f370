"""Is this process of use? /livez says it runs; /readyz says that an exchange could succeed now.

Readiness is what a probe saw in the last seconds, so asking for it costs nothing and cannot be used to load the guards.
A change of a probe is a record: when guards were away is part of the evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

import httpx
import structlog

from gateway.errors import GatewayError
from gateway.logs import place_of
from gateway.metrics import Metrics
from gateway.records import Book

PROBE_EVERY_S: Final = 1.0
PATIENCE_S: Final = 3.0
"""A probe without an answer for this long has failed; the others must not wait for it."""
_CAUSE: Final = 200
"""Characters of a reason that are logged."""
NOT_PROBED: Final = "not probed yet"
log = structlog.get_logger()
Probe = Callable[[], Awaitable[None]]
"""Returns when the thing works, raises GatewayError when it does not."""


class Health:
    """Runs the probes and remembers what they said."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        records: Book,
        metrics: Metrics,
        *,
        more: Callable[[], Mapping[str, Probe]] = dict,
        any_of: Collection[str] = (),
        every_s: float = PROBE_EVERY_S,
        patience_s: float = PATIENCE_S,
        also: Callable[[], Mapping[str, str]] = dict,
        recorded: bool = True,
    ) -> None:
        """`more`: what an exchange needs besides with the policy in force, asked each time. `any_of`: those that can
        stand in for each other, as model servers do: while one of them works, some exchanges succeed. `also`: what
        another process found. Not `recorded`: another one records it if this process is not ready."""
        self._any_of = frozenset(any_of)
        self._probes, self._records, self._metrics, self._more = probes, records, metrics, more
        self._every_s, self._patience_s = every_s, patience_s
        self._also, self._recorded = also, recorded
        self._state: dict[str, str] = {}
        self.draining = False

    def state(self) -> dict[str, str]:
        """Name of each thing an exchange needs -> `ok`, or why not."""
        return {**self._also(), **self.own()}

    def own(self) -> dict[str, str]:
        """What this process has found."""
        probed = {name: self._state.get(name, NOT_PROBED) for name in (*self._probes, *self._more())}
        return {**probed, "audit": self._records.state, **({"process": "draining"} if self.draining else {})}

    @property
    def ready(self) -> bool:
        """Whether everything an exchange needs is there."""
        return self._suffices(self.state())

    @property
    def own_ready(self) -> bool:
        """The same as far as this process has found out itself."""
        return self._suffices(self.own())

    def _suffices(self, said: Mapping[str, str]) -> bool:
        needed = [state for name, state in said.items() if name not in self._any_of]
        return all(state == "ok" for state in needed) and (
            not self._any_of or any(said[name] == "ok" for name in self._any_of)
        )

    async def watch(self) -> None:
        """Probe for ever. One task of the process."""
        try:
            while True:
                probes = {**self._probes, **self._more()}
                await asyncio.gather(*(self._look(name, probe) for name, probe in probes.items()))
                self._metrics.ready.set(self.ready)
                await asyncio.sleep(self._every_s)
        finally:
            # Nobody looks any more: what was seen last says nothing.
            self._state.clear()
            self._metrics.ready.set(False)

    async def _ask(self, probe: Probe) -> tuple[str, str]:
        """What it found, and what is wrong in a sentence."""
        try:
            async with asyncio.timeout(self._patience_s):
                await probe()
        except GatewayError as exc:
            return exc.code, _why(exc)
        except TimeoutError:
            return "no_answer", f"no answer for {self._patience_s:g} s"
        # A bug in a probe must not end the watch: readiness would stay what it was for ever.
        except Exception as exc:  # noqa: BLE001
            log.error("probe_crashed", error=type(exc).__name__, at=place_of(exc))
            return "probe_crashed", type(exc).__name__
        return "ok", ""

    async def _look(self, name: str, probe: Probe) -> None:
        said, problem = await self._ask(probe)
        if said == self._state.get(name, NOT_PROBED):
            return
        self._state[name] = said
        log.info("probe_changed", probe=name, state=said, **({"problem": problem} if problem else {}))
        if not self._recorded:
            return
        try:
            up = "guard.up" if said == "ok" else "guard.down"
            await self._records.append({"type": up, "stage": "complete", "probe": name, "err": {"code": said}})
        except GatewayError:
            log.warning("probe_not_recorded", probe=name)


def _why(exc: GatewayError) -> str:
    """The message, and why there is no connection: a name, a port or a certificate. What a server said stays out."""
    cause = exc.__cause__
    if not isinstance(cause, Exception):
        return exc.message
    return f"{exc.message}: {str(cause)[:_CAUSE] if isinstance(cause, httpx.ConnectError) else type(cause).__name__}"
