"""API key to caller. Keys are random, so a SHA-256 is enough to store and to look them up by.

The lookup goes by the digest of what was presented: how long it takes says nothing about any stored key. The key itself
is kept nowhere and is never forwarded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.errors import Unauthenticated
from gateway.exchange import Caller


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One configured key."""

    sha256: str
    """Lower-case hex digest of the key."""
    caller: Caller


def bearer_digest(authorization: str) -> str:
    """What the key in an `Authorization` header is stored and looked up by; empty for another scheme."""
    scheme, _, key = authorization.partition(" ")
    digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).hexdigest()
    return digest if scheme.lower() == "bearer" else ""


class KeyRing:
    """All keys that are in force."""

    def __init__(self, entries: Iterable[KeyEntry]) -> None:
        self._callers = {entry.sha256: entry.caller for entry in entries}

    def caller(self, authorization: str | None) -> Caller:
        """The caller an `Authorization` header stands for. Raises Unauthenticated."""
        if authorization is None:
            raise Unauthenticated("missing_api_key", "no API key: send `Authorization: Bearer KEY`")
        caller = self._callers.get(bearer_digest(authorization))
        if caller is None:
            raise Unauthenticated("invalid_api_key", "the API key is not one of this gateway's")
        return caller
