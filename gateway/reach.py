"""The model servers and the guards, as any process reaches them that answers on the API socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx

from gateway.config import Config
from gateway.engines import Engines
from gateway.errors import Unavailable
from gateway.guard_sources import open_sources
from gateway.health import Probe
from gateway.http_client import HOST_URL, make_client
from gateway.queues import Queues
from gateway.surroundings import Surroundings, loaded_tokens
from guards.registry import ModelSource


@dataclass(frozen=True, slots=True)
class Reach:
    """Clients that are open."""

    engines: Engines
    host: httpx.AsyncClient | None
    """Of the local model host, if there is one."""
    sources: Mapping[str, ModelSource]
    """Of each guard."""
    around: Surroundings
    """What policies depend on besides."""

    def probes(self) -> dict[str, Probe]:
        """Whether the model servers and the model host work."""

        async def model_host() -> None:
            assert self.host is not None
            await _answers_200(self.host, "/health")

        return {**self.engines.probes(), **({} if self.host is None else {"model_host": model_host})}


async def open_reach(config: Config, host_socket: str, stack: AsyncExitStack) -> Reach:
    """`host_socket` is empty where there is no model host. Nothing is asked yet. Raises ConfigError."""
    host = await stack.enter_async_context(make_client(host_socket)) if host_socket else None
    engines = await Engines.open(config.engines, host_socket, stack)
    sources = await open_sources(config.guards, host, stack)
    tokens = await asyncio.to_thread(loaded_tokens, config.engines, config.guards)
    queues = Queues(entry.operator for entry in config.operators)
    return Reach(engines, host, sources, Surroundings(config.engines, tokens, queues, config.sinks.require))


async def _answers_200(client: httpx.AsyncClient, path: str) -> None:
    try:
        response = await client.get(HOST_URL + path, timeout=2.0)
    except httpx.HTTPError as exc:
        raise Unavailable("unreachable", "the model host cannot be reached") from exc
    if response.status_code != 200:
        raise Unavailable("loading", "the model host is still loading")
