"""Adapters of the local model host's models, while they run: which there are, one more, one fewer.

A name is `BASE:ADAPTER`; where there is one model, `ADAPTER` will do.

The model host reads and checks the directory, which lies on its machine; what it refuses is passed on with its code.
That one comes or goes is a record before a client's request can reach it, or no longer can. Nothing of it outlives the
model host's process: what is to be there at every start is in the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import httpx
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.desk import AdminCall, Desk, Handler
from gateway.errors import BadRequest, GatewayError, NotFound, Unavailable
from gateway.fields import text
from gateway.http_client import HOST_URL
from gateway.jsonstrict import Json
from gateway.operators import Role

CHANGERS: Final = (Role.OPERATOR,)
_LOADING_S: Final = 60.0
_LISTING_S: Final = 5.0


class Models(Protocol):
    """What requests can name."""

    def serve(self, model: str) -> None: ...

    def drop(self, model: str) -> None: ...


def adapter_routes(desk: Desk, host: httpx.AsyncClient, models: Models, bases: Sequence[str]) -> list[Route]:
    """For operators, where the model host has models that generate, the `bases`."""
    shelf = _Shelf(host, bases)
    return [
        desk.route("/admin/adapters", "GET", CHANGERS, _list(shelf)),
        desk.route("/admin/adapters", "POST", CHANGERS, _add(shelf, models)),
        desk.route("/admin/adapters/{name}", "DELETE", CHANGERS, _remove(shelf, models)),
    ]


class _Shelf:
    """The model host's own routes."""

    def __init__(self, host: httpx.AsyncClient, bases: Sequence[str]) -> None:
        self._host, self._bases = host, bases

    def full(self, name: str) -> str:
        """The model's name for an adapter's. Raises NotFound."""
        base, colon, _ = name.partition(":")
        if not colon and len(self._bases) == 1:
            return f"{self._bases[0]}:{name}"
        if base not in self._bases:
            raise NotFound("model_not_found", "an adapter is named `BASE:NAME` after a model of the model host", "name")
        return name

    async def rows(self) -> list[dict[str, Json]]:
        data = (await self._ask("GET", "/v1/models", _LISTING_S)).get("data")
        entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
        return [_row(entry) for entry in entries if entry.get("parent") in self._bases]

    async def add(self, model: str, path: str) -> dict[str, Json]:
        return _row(await self._ask("POST", "/adapters", _LOADING_S, {"name": model, "path": path}))

    async def remove(self, model: str) -> None:
        await self._ask("DELETE", f"/adapters/{model}", _LISTING_S)

    async def _ask(
        self, method: str, path: str, seconds: float, body: dict[str, Json] | None = None
    ) -> dict[str, Json]:
        try:
            response = await self._host.request(method, HOST_URL + path, json=body, timeout=seconds)
            said = response.json()
            if response.is_success and isinstance(said, dict):
                return said
            raise _refusal(response.status_code, said["error"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as exc:
            raise Unavailable("engine_unavailable", "the model host gave no answer that could be read") from exc


def _list(shelf: _Shelf) -> Handler:
    async def run(call: AdminCall) -> Response:
        return call.json({"adapters": list[Json](await shelf.rows())})

    return run


def _add(shelf: _Shelf, models: Models) -> Handler:
    async def run(call: AdminCall) -> Response:
        body = await call.body({"name": None, "path": None})
        model, path = shelf.full(text(body.get("name"), "name")), text(body.get("path"), "path")
        row = await shelf.add(model, path)
        try:
            await call.records.append(call.record("engine.adapter") | {"adapter": {"change": "add", **row}})
        except GatewayError:
            await shelf.remove(model)
            raise
        models.serve(model)
        return call.json(row, 201)

    return run


def _remove(shelf: _Shelf, models: Models) -> Handler:
    async def run(call: AdminCall) -> Response:
        model = shelf.full(str(call.request.path_params["name"]))
        row = next((row for row in await shelf.rows() if row["model"] == model), None)
        if row is None:
            raise NotFound(
                "adapter_not_found", "no adapter of that name is served here; see GET /admin/adapters", "name"
            )
        await call.records.append(call.record("engine.adapter") | {"adapter": {"change": "remove", **row}})
        models.drop(model)
        await shelf.remove(model)
        return call.json(row)

    return run


def _row(entry: dict[str, Json]) -> dict[str, Json]:
    name = str(entry["id"]).partition(":")[2]
    return {"name": name, "model": entry["id"], "weights": entry["weights"], "rank": entry["rank"]}


def _refusal(status: int, error: dict[str, Json]) -> GatewayError:
    kind = {400: BadRequest, 404: NotFound}.get(status, Unavailable)
    return kind(str(error["code"]), str(error["message"]), None)
