"""Sealed text for those who may: listed, read, exported. Each is a record, and the record comes before the text.

A reason and a case are asked for and kept: what an operator writes, not what a user wrote. What was asked for and is
not there is a record as well, so that looking for something leaves as much behind as finding it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.content_fields import case, name, reason
from gateway.admin.desk import AdminCall, Desk, Handler
from gateway.content.erasing import MOST_REFS, unavailable_instead
from gateway.content.errors import ContentMissing
from gateway.content.export import records_naming, requests_with
from gateway.content.keystore import Row
from gateway.content.office import Office
from gateway.entries import Record, keyed_digest, tenant_key
from gateway.errors import NotFound
from gateway.fields import text
from gateway.jsonstrict import Json
from gateway.operators import Role

READERS: Final = (Role.AUDITOR, Role.PRIVACY_OFFICER)
PRIVACY: Final = (Role.PRIVACY_OFFICER,)
_MOST_FOUND: Final = 1000


def content_routes(desk: Desk, office: Office, log: Path, key: bytes) -> list[Route]:
    """`log` is the directory of the audit log, `key` that of the digests in it."""
    return [
        desk.route("/admin/content/list", "POST", READERS, _list(office)),
        desk.route("/admin/content/read", "POST", READERS, _read(office)),
        desk.route("/admin/content/find", "POST", READERS, _find(log, key)),
        desk.route("/admin/content/person", "POST", PRIVACY, _person(office)),
        desk.route("/admin/content/export", "POST", PRIVACY, _export(office, log)),
    ]


def _list(office: Office) -> Handler:
    async def list_(call: AdminCall) -> Response:
        what = name((await call.body({"what": None})).get("what"), "what")
        rows = await unavailable_instead(office.store.do(lambda keys: keys.rows(what)))
        await call.records.append(call.record("audit.read") | {"query": {"content": what}, "found": len(rows)})
        return call.json({"blobs": [_shown(row) for row in rows]})

    return list_


def _read(office: Office) -> Handler:
    async def read(call: AdminCall) -> Response:
        body = await call.body({"what": None, "reason": None, "case": None})
        what, why = name(body.get("what"), "what"), reason(body)
        said = call.record("content.read") | {"what": what, "reason": why, "case": case(body)}
        rows = await unavailable_instead(office.store.do(lambda keys: keys.rows(what)))
        await _require(call, said, rows)
        blobs = await _opened(office, rows)
        await call.records.append(said | _refs(rows))
        return call.json({"blobs": list[Json](blobs)})

    return read


def _find(log: Path, key: bytes) -> Handler:
    async def find(call: AdminCall) -> Response:
        body = await call.body({"tenant": None, "text": None})
        tenant, said = name(body.get("tenant"), "tenant"), text(body.get("text"), "text")
        digest = keyed_digest(tenant_key(key, tenant), said.encode("utf-8", "surrogatepass"))
        found = await asyncio.to_thread(lambda: list(dict.fromkeys(islice(requests_with(log, digest), _MOST_FOUND))))
        query: Json = {"tenant": tenant, "digest": digest}
        await call.records.append(call.record("audit.query") | {"query": query, "found": len(found)})
        return call.json({"digest": digest, "requests": list[Json](found)})

    return find


def _person(office: Office) -> Handler:
    async def person(call: AdminCall) -> Response:
        body = await call.body({"tenant": None, "name": None})
        tenant, who = name(body.get("tenant"), "tenant"), text(body.get("name"), "name")
        token = await unavailable_instead(office.store.do(lambda keys: keys.token(tenant, who, may_create=False)))
        await call.records.append(call.record("audit.query") | {"query": {"tenant": tenant}, "subject": token or ""})
        if token is None:
            raise NotFound("content_not_found", "this person is not known in this tenant")
        return call.json({"subject": token})

    return person


def _export(office: Office, log: Path) -> Handler:
    async def export(call: AdminCall) -> Response:
        body = await call.body({"subject": None, "reason": None, "case": None})
        token, why = name(body.get("subject"), "subject"), reason(body)
        said = call.record("content.export") | {"subject": token, "reason": why, "case": case(body)}
        rows = await unavailable_instead(office.store.do(lambda keys: keys.rows_of_owner(token)))
        lines = await asyncio.to_thread(lambda: [json.dumps({"record": r}) for r in records_naming(log, token)])
        if not lines:
            await _require(call, said, rows)
        lines += [json.dumps({"content": blob}) for blob in await _opened(office, rows)]
        await call.records.append(said | _refs(rows))
        headers = {"x-request-id": call.id, "cache-control": "no-store"}
        return Response("".join(f"{line}\n" for line in lines), 200, headers, "application/jsonl")

    return export


async def _require(call: AdminCall, said: Record, rows: Sequence[Row]) -> None:
    if not rows:
        await call.records.append(said | {"refs": [], "err": {"code": "content_not_found", "where": "content"}})
        raise NotFound("content_not_found", "nothing is kept under this name, or all of it was erased")


async def _opened(office: Office, rows: Sequence[Row]) -> list[dict[str, Json]]:
    blobs: list[dict[str, Json]] = []
    for row in rows:
        try:
            blobs.append({**_shown(row), "value": await unavailable_instead(office.store.read(row))})
        except ContentMissing as exc:
            blobs.append({**_shown(row), "err": exc.code})
    return blobs


def _refs(rows: Sequence[Row]) -> Record:
    return {"refs": [row.place.ref for row in rows[:MOST_REFS]], "refs_n": len(rows)}


def _shown(row: Row) -> dict[str, Json]:
    place, expires = row.place, str(row.expires_ns)
    return {**place.as_json(), "kek_id": row.kek_id, "expires": expires}
