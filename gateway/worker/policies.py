"""The policies of a worker: those that its lead has admitted, built here from the same bytes.

What comes out has to mean the same as at the lead, or it is refused: digests of the meaning and of the
text are compared. Nothing here decides which of them is in force.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from gateway.errors import ConfigError, Unavailable
from gateway.policy_builder import PolicyBuilder
from gateway.policy_source import Found
from gateway.steps import InForce
from gateway.trial import Comparison
from gateway.worker.shelf import key_of
from gateway.worker.wire import Body
from guards.errors import GuardSetupError
from guards.memory import Counts
from policies.errors import FileErrors
from policies.load import load_policy

log = structlog.get_logger()


class Policies:
    """Built pairs, by key."""

    def __init__(self) -> None:
        self.builder: PolicyBuilder | None = None
        """Known once the lead has said what the configuration is."""
        self._pairs: dict[str, InForce] = {}
        self._comparisons: dict[tuple[str, str], Comparison] = {}
        """Of the trials that run."""
        self.everybodys = ""
        """Key of the policy that decided last for a caller without one of their own."""
        self._turn = asyncio.Lock()

    def pair(self, key: str) -> InForce:
        """KeyError for one that the lead did not send."""
        return self._pairs[key]

    def comparison(self, candidate: str, stable: str) -> Comparison:
        """For a candidate on trial."""
        known = self._comparisons.get((candidate, stable))
        if known is None:
            known = Comparison(self._pairs[candidate].policy, self._pairs[stable].policy)
            self._comparisons[candidate, stable] = known
        return known

    async def take(self, body: Body) -> None:
        """Build what the lead sends, and forget what it does not need any more. Raises Unavailable."""
        key, needed, files = str(body["key"]), body["needed"], body["files"]
        if not isinstance(needed, list) or not isinstance(files, dict) or self.builder is None:
            raise TypeError("a policy without its files, or before its time")
        async with self._turn:
            if key not in self._pairs:
                texts = {name: b64decode(str(data)) for name, data in files.items()}
                self._pairs[key] = await asyncio.to_thread(_built, self.builder, key, str(body["policy"]), texts)
            self._comparisons.clear()
            self._pairs = {known: pair for known, pair in self._pairs.items() if known in needed or known == key}

    def memory_counts(self) -> dict[str, dict[str, Counts]]:
        """Of the guards of everybody's policy."""
        pair = self._pairs.get(self.everybodys)
        return {name: guard.counts() for name, guard in pair.panel.memories.items()} if pair else {}


def _built(builder: PolicyBuilder, key: str, own: str, files: dict[str, bytes]) -> InForce:
    try:
        with TemporaryDirectory(prefix="gatehouse-policy-") as directory:
            for name, data in files.items():
                path = Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            policy = load_policy(Path(directory, own), builder.known)
        if key_of(policy) != key:
            raise Unavailable("policy_differs", "the policy means something else here")
        return builder.built(Found(policy, files[own]))
    except (FileErrors, GuardSetupError, ConfigError, OSError) as exc:
        log.error("policy_unusable", problem=str(exc))
        raise Unavailable("policy_unusable", type(exc).__name__) from exc
