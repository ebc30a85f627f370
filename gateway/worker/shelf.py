"""The policies that workers have to be ready for, in the very bytes that the lead admitted.

A policy is offered before it comes into force: every worker builds it and says so. One that answers that it cannot
stops the policy, for nobody would know which of two decides; one that gives no answer in time is cut off and lets
nobody in any more. Which policy decides an exchange the lead says when the exchange comes in, so a swap there is a swap
everywhere at once.
"""

from __future__ import annotations

import asyncio
import errno
from base64 import b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import structlog

from gateway.bundles.gather import gathered
from gateway.bundles.manifest import POLICY
from gateway.errors import ConfigError, GatewayError
from gateway.jsonstrict import Json
from gateway.policy_source import Found
from gateway.steps import InForce
from gateway.worker.errors import LineBrokenError
from gateway.worker.wire import LARGEST, Body, Kind
from policies.model import Policy

PATIENCE_S: Final = 30.0
"""Building a policy takes a second where its guards load word lists."""
MOST_BYTES: Final = LARGEST[Kind.POLICY] * 3 // 4 - 1024 * 1024
"""Of all files of a policy, before they are written in base64."""
log = structlog.get_logger()


class Reader(Protocol):
    """A worker that takes policies."""

    number: int

    async def load(self, key: str, body: Body) -> None:
        """Returns when it is ready. Raises GatewayError when it cannot be."""
        ...

    def cut_off(self) -> None: ...


def key_of(policy: Policy) -> str:
    """By what processes mean the same policy: what it means and what it is written in."""
    return f"{policy.digest} {policy.source_digest}"


class Shelf:
    """All policies that an exchange may be decided by."""

    def __init__(self, patience_s: float = PATIENCE_S, most_bytes: int = MOST_BYTES) -> None:
        self._patience_s, self._most_bytes = patience_s, most_bytes
        self._bodies: dict[str, Body] = {}
        self._readers: set[Reader] = set()
        self._places: list[Place] = []

    def place(self) -> Place:
        """For one that holds a policy in force."""
        self._places.append(Place(self))
        return self._places[-1]

    async def offer(self, found: Found) -> None:
        """See Place."""
        key, body = key_of(found.policy), await asyncio.to_thread(_body, found, self._most_bytes)
        needed = {key}.union(*(place.needed() for place in self._places))
        self._bodies = {known: one for known, one in {**self._bodies, key: body}.items() if known in needed}
        said = await asyncio.gather(*(self._load(reader, key) for reader in self._readers))
        refused = next(filter(None, said), "")
        if refused:
            raise ConfigError("worker_refused", f"a worker cannot build the policy: {refused}")

    async def join(self, reader: Reader) -> None:
        """Return when it is ready for all there are; from now on it is offered what comes."""
        self._readers.add(reader)
        loaded: set[str] = set()
        while missing := [key for key in self._bodies if key not in loaded]:
            for key in missing:
                loaded.add(key)
                if await self._load(reader, key):
                    reader.cut_off()
                    raise LineBrokenError

    def leave(self, reader: Reader) -> None:
        self._readers.discard(reader)

    async def _load(self, reader: Reader, key: str) -> str:
        """Why it cannot; empty: it is ready, or gone."""
        body = self._bodies.get(key)
        if body is None:
            return ""
        try:
            async with asyncio.timeout(self._patience_s):
                await reader.load(key, {**body, "needed": [*self._bodies]})
        except LineBrokenError:
            return ""
        except GatewayError as exc:
            return exc.message
        except TimeoutError:
            log.error("worker_cut_off", worker=reader.number, why="no answer to a policy")
            reader.cut_off()
        return ""


class Place:
    """What one holder of a policy has on the shelf: the one it holds, one on trial, and the last that it offered."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._offered = ""
        self.in_use: Callable[[], Iterable[InForce]] = tuple

    async def offer(self, found: Found) -> None:
        """Return when every worker is ready for it. ConfigError or OSError: it may not come into force."""
        self._offered = key_of(found.policy)
        await self._shelf.offer(found)

    def needed(self) -> set[str]:
        """Keys of those that an exchange may be decided by."""
        return {self._offered, *(key_of(pair.policy) for pair in self.in_use())}


def _body(found: Found, most: int) -> Body:
    """All files of the policy. OSError if they are not any more those it was read from."""
    admitted, file = found.admitted, Path(found.policy.file)
    own = POLICY if admitted is not None else file.name
    files = gathered(file, own) if admitted is None else admitted.bundle.contents
    if sum(map(len, files.values())) > most:
        raise OSError(errno.EFBIG, f"the policy and its lists are larger than {most} bytes")
    if files[own] != found.text:
        raise OSError(errno.EAGAIN, "the policy was changed while it was being loaded")
    packed: dict[str, Json] = {name: b64encode(data).decode() for name, data in files.items()}
    return {"key": key_of(found.policy), "files": packed, "policy": own}
