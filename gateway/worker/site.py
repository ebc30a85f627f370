"""What a worker builds for itself from the configuration that its lead works by: ways to guards and model servers.

The configuration comes from the lead and not from the file, which may have changed since the lead read it. A lead that
works by another one than this process was built for is a new one: this process ends and is started anew.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from gateway.config import Config, read_config
from gateway.errors import ConfigError, Unavailable
from gateway.policy_builder import PolicyBuilder
from gateway.reach import Reach, open_reach
from gateway.worker.policies import Policies
from gateway.worker.wire import Body
from policies.errors import FileErrors

log = structlog.get_logger()


class Site:
    """Open from the lead's first word on."""

    def __init__(self, stack: AsyncExitStack, policies: Policies, changed: Callable[[], None]) -> None:
        self._stack, self._policies, self._changed = stack, policies, changed
        self._told: Body | None = None
        self._config: Config | None = None
        self._reach: Reach | None = None

    @property
    def config(self) -> Config:
        assert self._config is not None, "the lead speaks first"
        return self._config

    @property
    def reach(self) -> Reach:
        assert self._reach is not None, "the lead speaks first"
        return self._reach

    def model(self, name: str, is_served: bool) -> None:
        """One of the model host came or went."""
        engines = self.reach.engines
        (engines.serve if is_served else engines.drop)(name)

    async def told(self, body: Body) -> None:
        """The lead says what it works by. Raises Unavailable when nothing can be built from it."""
        if self._told is None:
            await self._open(body)
            self._told = body
        elif body != self._told:
            log.warning("configuration_changed")
            self._changed()
            raise Unavailable("configuration_changed", "the lead works by another configuration")

    async def _open(self, body: Body) -> None:
        text, file, state = b64decode(str(body["config"])), Path(str(body["file"])), Path(str(body["state"]))
        try:
            config = read_config(text, file, state)
            async with AsyncExitStack() as opened:
                reach = await open_reach(config, str(body["host_socket"]), opened)
                self._stack.push_async_exit(opened.pop_all())
        except (FileErrors, ConfigError, OSError) as exc:
            log.error("configuration_unusable", problem=str(exc))
            raise Unavailable("configuration_unusable", "the configuration of the lead cannot be used here") from exc
        classes = config.content.classes if config.content is not None else ()
        self._policies.builder = PolicyBuilder(config.guards, reach.sources, classes=classes, around=reach.around)
        self._config, self._reach = config, reach
