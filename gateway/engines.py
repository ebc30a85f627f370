"""All model servers of a configuration as one: which of them serves a model, and what it takes to ask each.

A public name belongs to one engine. Names that a configuration gives are known without asking anybody; an engine whose
models nobody listed is asked for them. One that cannot be reached is in nobody's way but of those who want its models:
as long as it might be the one, that is 503 and not 404.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from gateway.errors import GatewayError
from gateway.health import Probe
from gateway.http_client import make_client
from gateway.steps import Place
from gateway.upstream import Upstream, UpstreamSettings, unknown_model

PROBE: Final = "engine"


class Engines:
    """One upstream for each engine; the first is meant where none is named."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self._upstreams = {one.settings.name: one for one in upstreams}
        # Those whose names are known come first: nobody has to be asked then.
        self._ordered = sorted(upstreams, key=lambda one: not one.settings.models)
        self._first = upstreams[0]
        self._local = {one.settings.local.name: one for one in upstreams if one.settings.local is not None}

    @property
    def settings(self) -> UpstreamSettings:
        """Of the engine that is meant where none is named."""
        return self._first.settings

    @property
    def local(self) -> tuple[str, ...]:
        """The models that the local model host generates with. They take adapters while they run."""
        return tuple(self._local)

    def serve(self, model: str) -> None:
        """One more adapter of a local model: `model` is `BASE:ADAPTER`."""
        if upstream := self._local.get(model.partition(":")[0]):
            upstream.serve(model)

    def drop(self, model: str) -> None:
        """One fewer."""
        if upstream := self._local.get(model.partition(":")[0]):
            upstream.drop(model)

    async def models(self) -> Mapping[str, str]:
        """Public model names of all engines that can be asked. Raises Unavailable when none of them can."""
        found: dict[str, str] = {}
        failed: list[GatewayError] = []
        for upstream in self._ordered:
            try:
                found = {**await upstream.models(), **found}
            except GatewayError as exc:
                failed.append(exc)
        if len(failed) == len(self._ordered):
            raise failed[0]
        return found

    async def served_as(self, model: str) -> str:
        """The server's own name for a public one. Raises NotFound."""
        return (await self.place(model)).model

    async def place(self, model: str, engine: str = "") -> Place:
        """Where the model is. Raises NotFound, or Unavailable when an engine that may have it cannot be asked."""
        if engine:
            if engine not in self._upstreams:
                raise unknown_model()
            return await self._upstreams[engine].place(model)
        for upstream in self._ordered:
            # As of when that engine was last asked: one that is away now keeps its models, and no other place that
            # lists the same name gets what was meant for it.
            if model in upstream.listed and model in await upstream.models():
                return await upstream.place(model)
        return await self._asked(model)

    async def _asked(self, model: str) -> Place:
        failed: GatewayError | None = None
        for upstream in self._ordered:
            if upstream.remembered() is not None:
                continue
            try:
                if model in await upstream.models():
                    return await upstream.place(model)
            except GatewayError as exc:
                failed = failed or exc
        raise failed or unknown_model()

    @classmethod
    async def open(cls, settings: Sequence[UpstreamSettings], host_socket: str, stack: AsyncExitStack) -> Engines:
        """Each with a client of its own; nothing is connected yet."""
        clients = [make_client(host_socket if one.local else None) for one in settings]
        opened = [await stack.enter_async_context(client) for client in clients]
        return cls([Upstream(one, client) for one, client in zip(settings, opened, strict=True)])

    def probes(self) -> dict[str, Probe]:
        """For each engine whether it can be asked now; of several by name."""
        if len(self._ordered) == 1:
            return {PROBE: self._first.probe}
        return {f"{PROBE}_{name}": upstream.probe for name, upstream in self._upstreams.items()}
