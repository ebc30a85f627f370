"""What the audit log is told about an exchange: whose it is, by which policy, sizes, digests. Never text.

Each function builds one record as plain JSON, or fields of one. The log itself adds sequence number, link, clock and
instance. The field names are those of docs/audit-format.md; what was judged is in judgement.py.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final, Protocol

from gateway.exchange import Caller, ChatRequest
from gateway.jsonstrict import Json, dumps
from guards.verdict import Part, Scope
from policies.model import Facts, Policy

Record = dict[str, Json]
LIST_BYTES: Final = 2_000
"""Room for each list in a record. What is longer is cut, with its whole length under `…_n`: rules by the hundred."""


class Recorder(Protocol):
    """Where records go. Returns once one is durable; raises GatewayError when it cannot be made so."""

    async def append(self, record: Record) -> object: ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """What every record of one exchange says about it."""

    id: str
    caller: Caller
    route: str
    upstream: str
    policy: Policy
    upstream_class: str = ""
    """What kind of place the model server is: `local`, `external`, or a name of the site's."""
    tool_context: str = "none"
    """`untrusted` when the request holds results of tools."""
    subject: str = ""
    """The token of the person for whom the request says it is made."""

    def concerning(self, request: ChatRequest) -> Exchange:
        """The same, with what the request says about it."""
        is_told = any(part.scope is Scope.TOOL_RESULT for part in request.parts)
        return replace(self, tool_context="untrusted" if is_told else "none")

    def going_to(self, upstream: str, class_: str) -> Exchange:
        """The same, on its way to an engine. Itself where it is on its way there already."""
        if not upstream or (upstream, class_) == (self.upstream, self.upstream_class):
            return self
        return replace(self, upstream=upstream, upstream_class=class_)

    def facts(self, parts: Sequence[Part], model: str, at: int | None, *, released: bool = False) -> Facts:
        """What a policy may ask of these parts besides what detectors say; `released`: their text has left already."""
        caller = self.caller
        return Facts(
            parts=tuple(parts),
            tenant=caller.tenant,
            app=caller.app,
            model=model,
            claims=caller.claims,
            upstream=self.upstream,
            upstream_class=self.upstream_class,
            tool_context=self.tool_context,
            at=at,
            released=released,
        )

    def record(self, type_: str, stage: str) -> Record:
        """The fields that all its records share."""
        return {
            "type": type_,
            "stage": stage,
            "req": self.id,
            "tenant": self.caller.tenant,
            "app": self.caller.app,
            "actor": {"type": "key", "key_id": self.caller.key_id},
            "policy": policy_identity(self.policy),
            **({"on_behalf": {"sub": self.subject, "relation": "claimed"}} if self.subject else {}),
            **self._facts(),
        }

    def _facts(self) -> Record:
        """Facts that a policy may ask and no other field holds, so that a replay knows them."""
        said: dict[str, Json] = dict(sorted(self.caller.claims.items()))
        said |= {"upstream_class": self.upstream_class} if self.upstream_class else {}
        said |= {"tool_context": self.tool_context} if self.tool_context != "none" else {}
        return {"facts": said} if said else {}


def keyed_digest(key: bytes, data: bytes) -> str:
    """HMAC-SHA256 cut to 128 bits, hex: equality can be checked by who holds the key, content cannot be guessed."""
    return hmac.digest(key, data, "sha256")[:16].hex()


def tenant_key(key: bytes, tenant: str) -> bytes:
    """One tenant's own key for digests: what one of them can test says nothing of another's texts."""
    return hmac.digest(key, b"gatehouse-digest/v1\0" + tenant.encode(), "sha256")


def digest_field(key: bytes, **digests: str) -> Record:
    """The field `digest`, with the version of the tenant's key that they were made under."""
    return {"digest": {**digests, "key_id": f"1:{hashlib.sha256(key).hexdigest()[:8]}"}}


def policy_identity(policy: Policy) -> Json:
    """Which policy: its name for people, its digests for replays."""
    return {
        "name": policy.name,
        "version": policy.version,
        "compiled_digest": policy.digest,
        "src_digest": policy.source_digest,
    }


def fitting(rows: Sequence[Json], room: int) -> list[Json]:
    """As many as there is room for."""
    sizes = accumulate(len(dumps(row)) + 1 for row in rows)
    return [row for row, size in zip(rows, sizes, strict=True) if size <= room]


def request_fields(request: ChatRequest, upstream_body: bytes, canonical: bytes, key: bytes) -> Record:
    """`http` and `digest` of an admitted or refused request. `key` is the tenant's."""
    sent = keyed_digest(key, upstream_body) if upstream_body else ""
    return {
        "http": {"bytes_in": request.bytes_in, "stream": request.stream},
        **digest_field(key, in_canon_hmac=keyed_digest(key, canonical), up_req_hmac=sent),
        **_images(request.parts, key),
    }


def _images(parts: Sequence[Part], key: bytes) -> Record:
    """Which pictures were judged and sent, by digests of their `data:` URLs."""
    rows: list[Json] = [
        {"part": part.path, "bytes": part.bytes, "hmac": keyed_digest(key, part.picture.encode())}
        for part in parts
        if part.picture
    ]
    return {"images": fitting(rows, LIST_BYTES), "images_n": len(rows)} if rows else {}


def refusal(exchange_id: str, caller: Caller | None, route: str, code: str, status: int, bytes_in: int) -> Record:
    """A request that was turned away before any guard saw it: bad JSON, unknown field, unknown model, too large."""
    record: Record = {
        "type": "request.refuse" if caller else "auth.fail",
        "stage": "complete",
        "req": exchange_id,
        "http": {"route": route, "status": status, "bytes_in": bytes_in},
        "err": {"code": code, "where": "front"},
        "decision": {"outcome": "error", "action": "block", "rules": [], "code": code},
    }
    if caller:
        record |= {"tenant": caller.tenant, "app": caller.app, "actor": {"type": "key", "key_id": caller.key_id}}
    return record
