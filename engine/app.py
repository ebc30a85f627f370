"""The routes of the model host. Each reads its body, asks the engine and writes the answer; no model code is here.

Every refusal is OpenAI's error envelope with a stable code. An error that nobody foresaw is a 500 without details:
the text of an exception may quote what the client sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine import calls
from engine.classify_wire import classify_answer, parse_classify
from engine.errors import NotFound, RequestError, StepFailed, TooLarge
from engine.host import Host, Served
from engine.logs import log
from engine.wire import MAX_BODY_BYTES, error_body, parse_object

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def build_app(host: Host) -> Starlette:
    """All routes over one host."""
    routes = [
        Route("/health", _guarded(_Health(host)), methods=["GET"]),
        Route("/v1/models", _guarded(_Models(host)), methods=["GET"]),
        Route("/classify", _guarded(_Classify(host)), methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: _unknown_path, 405: _unknown_path})


class _Health:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        if not self._host.is_ready:
            return JSONResponse({"status": "loading"}, status_code=503)
        return JSONResponse({"status": "ok", "pending": self._host.loop.pending})


class _Models:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        _ = self._host.loop
        return JSONResponse({"object": "list", "data": [self._entry(model) for model in self._host.served()]})

    def _entry(self, model: Served) -> dict[str, Any]:
        return {
            "id": model.spec.name,
            "object": "model",
            "created": self._host.started,
            "owned_by": "gatehouse",
            "task": model.spec.task,
            "weights": model.digest,
            "max_model_len": model.max_model_len,
            "precision": model.info.precision,
        }


class _Classify:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        fields = parse_object(await read_body(request))
        model = self._host.classifier(fields.text("model"))
        parsed = parse_classify(fields, model.info, model.tokenizer)
        scores = await until_disconnected(request, calls.classify(self._host.loop, model.lane, parsed.inputs))
        return JSONResponse(classify_answer(model.spec.name, model.digest, model.info, parsed, scores))


async def read_body(request: Request) -> bytes:
    """The whole body, or TooLarge before it is all in memory."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge("body_too_large", f"the body has more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def until_disconnected(request: Request, call: Awaitable[T]) -> T:
    """The call's result; when the client leaves first, the call is cancelled and ClientDisconnect raised."""
    task = asyncio.ensure_future(call)
    watch = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        watch.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except RequestError as exc:
            return JSONResponse(error_body(exc), status_code=exc.status)
        except ClientDisconnect:
            return Response(status_code=499)
        # The last resort of a server: nothing of the exception's text may reach the client or the log.
        except Exception as exc:  # noqa: BLE001
            log.error("request_failed", path=request.url.path, error=type(exc).__name__)
            failed = StepFailed("internal_error", "the model host failed while serving this request")
            return JSONResponse(error_body(failed), status_code=500)

    return guarded


async def _unknown_path(request: Request, exc: Exception) -> Response:
    error = NotFound("not_found", "no such path or method; see /v1/models for what is served")
    return JSONResponse(error_body(error), status_code=404)
