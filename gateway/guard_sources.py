"""From the settings of guard models to where each can be asked, and whether it can be asked now.

Guards of the local model host share its client. Each guard on a server has a client of its own, which carries that
server's key and nobody else's. Nothing is connected here, and nothing but the configured addresses ever is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx

from gateway.errors import ConfigError, Unavailable
from gateway.guard_settings import Guards, GuardSettings
from gateway.health import Probe
from gateway.http_client import HOST_URL, make_client
from guards.profiles.profile import Task
from guards.registry import RULES, ModelSource
from policies.errors import Problems
from policies.model import Policy

PROBE_S = 2.0
NO_FILES = Path("/nonexistent")
"""Where a guard without files of its own would look for them."""


def needed(guards: Guards, policy: Policy) -> tuple[GuardSettings, ...]:
    """The guard models that a policy asks, by name. Raises ConfigError for one that nobody configured."""
    asked = sorted({spec.use for spec in policy.detectors.values()} - set(RULES))
    if missing := [use for use in asked if use not in guards]:
        told = f"the policy uses `{missing[0]}`, which is not configured; name its model under `guards:`"
        raise ConfigError("guard_not_configured", told)
    return tuple(guards[use] for use in asked)


def needed_by_all(guards: Guards, policies: Iterable[Policy]) -> tuple[GuardSettings, ...]:
    """The same for several policies."""
    found = {guard.use: guard for policy in policies for guard in needed(guards, policy)}
    return tuple(found[use] for use in sorted(found))


def check_directories(guards: Iterable[GuardSettings]) -> None:
    """Whether each model is where the configuration says. Raises FileErrors with every place that is wrong."""
    problems = Problems()
    for guard in guards:
        if guard.place is None or guard.path is None:
            continue
        if not guard.path.is_dir():
            problems.add(guard.place, f"`path` of guard `{guard.use}` is `{guard.path}`, which is not a directory")
        elif guard.is_local and not (guard.path / "manifest.json").is_file():
            told = f"`{guard.path}` of guard `{guard.use}` has no manifest.json"
            problems.add(guard.place, told, f"gatehouse models add {guard.path} --profile {guard.profile.use}")
    problems.raise_if_any()


def host_models(guards: Iterable[GuardSettings]) -> list[dict[str, object]]:
    """What the model host has to be told of the guards that it runs."""
    return [_host_model(guard) for guard in guards if guard.is_local]


def _host_model(guard: GuardSettings) -> dict[str, object]:
    said: dict[str, object] = {"name": guard.use, "path": str(guard.path), "task": str(guard.profile.task)}
    if guard.profile.task is Task.GENERATE:
        said["role"] = "guard"
    if guard.precision != "auto":
        said["precision"] = guard.precision
    if guard.device != "auto":
        said["device"] = guard.device
    if guard.is_deterministic:
        said["deterministic"] = True
    if guard.kv_bytes:
        said["kv_bytes"] = guard.kv_bytes
    return said


async def open_sources(guards: Guards, host: httpx.AsyncClient | None, stack: AsyncExitStack) -> dict[str, ModelSource]:
    """Where each guard can be asked. Those of a model host that was not started are left out."""
    sources: dict[str, ModelSource] = {}
    for use, guard in guards.items():
        if not guard.is_local:
            client = make_client(api_key=guard.api_key, connect_s=guard.connect_s)
            sources[use] = _remote(guard, await stack.enter_async_context(client))
        elif host is not None:
            sources[use] = replace(_source(guard, host), url=_url(guard, f"{HOST_URL}/v1"))
    return sources


def _remote(guard: GuardSettings, client: httpx.AsyncClient) -> ModelSource:
    return replace(_source(guard, client), url=_url(guard, guard.url), weights_required=False)


def _source(guard: GuardSettings, client: httpx.AsyncClient) -> ModelSource:
    return ModelSource(guard.path or NO_FILES, client, guard.model, profile=guard.profile, options=guard.options)


def _url(guard: GuardSettings, base: str) -> str:
    """vLLM has `/classify` beside `/v1`, and so have we."""
    return base.removesuffix("/v1") if guard.profile.task is Task.CLASSIFY else base


def remote_probes(guards: Sequence[GuardSettings], sources: Mapping[str, ModelSource]) -> dict[str, Probe]:
    """For each guard on a server: whether the server answers, and serves the model."""
    return {f"guard_{guard.use}": _probe(guard, sources[guard.use]) for guard in guards if not guard.is_local}


def _probe(guard: GuardSettings, source: ModelSource) -> Probe:
    async def probe() -> None:
        try:
            response = await source.client.get(f"{guard.url}/models", timeout=PROBE_S)
        except httpx.HTTPError as exc:
            raise Unavailable("unreachable", f"the server of guard `{guard.use}` cannot be reached") from exc
        if response.status_code in (404, 405):
            return  # it answers, and not every server lists its models
        if response.status_code != 200:
            raise Unavailable("unavailable", f"the server of guard `{guard.use}` answers {response.status_code}")
        if (served := _listed(response)) is not None and guard.model not in served:
            raise Unavailable("model_not_served", f"the server of guard `{guard.use}` does not serve its model")

    return probe


def _listed(response: httpx.Response) -> set[object] | None:
    """Names of the models, or None where the answer is no list of them."""
    try:
        data = response.json()["data"]
        return {entry["id"] for entry in data}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
