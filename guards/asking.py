"""One question to a model's server, and its answer as a JSON object, or a GuardError.

All guards that ask over HTTP share this, so that what counts as no answer is the same for each: another status, no
connection, too slow, too long, compressed wrongly, not JSON. Nothing is tried twice: the deadline belongs to the
request that waits, and a second try would hide an overloaded server. No message holds what was sent or what came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import httpx

from guards.errors import ErrorKind, GuardError

_STATUS_KINDS = {
    429: ErrorKind.OVERLOAD,
    503: ErrorKind.UNAVAILABLE,
    502: ErrorKind.UNAVAILABLE,
    504: ErrorKind.TIMEOUT,
}


async def ask(guard: str, client: httpx.AsyncClient, url: str, message: object, limit: int) -> dict[str, Any]:
    """The answer, of at most `limit` bytes."""
    body = await _post(guard, client, url, message, limit)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise bad(guard, "the answer is not JSON") from exc
    if not isinstance(answer, dict):
        raise bad(guard, "the answer is not a JSON object")
    return answer


async def _post(guard: str, client: httpx.AsyncClient, url: str, message: object, limit: int) -> bytes:
    try:
        async with client.stream("POST", url, json=message) as response:
            if response.status_code != 200:
                kind = _STATUS_KINDS.get(response.status_code, ErrorKind.BAD_ANSWER)
                raise GuardError(guard, kind, f"the endpoint answered {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > limit:
                    raise bad(guard, f"the answer is longer than {limit} bytes")
            return bytes(body)
    except httpx.TimeoutException as exc:
        raise GuardError(guard, ErrorKind.TIMEOUT, "the endpoint did not answer in time") from exc
    except httpx.DecodingError as exc:
        raise bad(guard, "the answer cannot be decompressed") from exc
    except httpx.TransportError as exc:
        raise GuardError(guard, ErrorKind.UNAVAILABLE, f"no connection: {type(exc).__name__}") from exc


def check_source(guard: str, answer: Mapping[str, Any], model: str, weights: str, *, required: bool) -> None:
    """The answer comes from this model and these weights; `required` says whether it has to name them."""
    if answer.get("model") != model:
        raise bad(guard, f"the answer is not from model `{model}`")
    named = answer.get("weights")
    if named is None and not required:
        return
    if named != weights:
        raise bad(guard, "the answer names other weights than the manifest")


def salt_of(tenant: str) -> str:
    """What a model host of ours keeps one tenant's prompts apart by, so that nobody learns from the time of an answer,
    or from what it says was there already, what others have asked."""
    return hashlib.blake2b(tenant.encode(), digest_size=16).hexdigest() if tenant else ""


def bad(guard: str, problem: str) -> GuardError:
    return GuardError(guard, ErrorKind.BAD_ANSWER, problem)
