"""The routes of the model host. Each reads its body, asks the engine and writes the answer; no model code is here.

Every refusal is OpenAI's error envelope with a stable code. An error that nobody foresaw is a 500 without details:
the text of an exception may quote what the client sent. A caller that will not wait for ever says so in the header
`x-request-deadline-ms`; what is late by then is dropped without being computed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine import calls
from engine.classify_wire import classify_answer, parse_classify
from engine.errors import BadRequest, NotFound, RequestError, StepFailed, TooLarge
from engine.events import Finished, Grown
from engine.generate_answer import Answer, ChatAnswer, TextAnswer
from engine.generate_answer import event as encode_event
from engine.generate_wire import Asked, parse_chat, parse_completion, shows_pictures
from engine.host import Host, Served, ServedGenerator
from engine.logs import log
from engine.metrics import CONTENT_TYPE, exposition
from engine.streaming import EventStream, until_disconnected
from engine.vision.desk import Desk
from engine.wire import MAX_BODY_BYTES, Fields, error_body, parse_object

if TYPE_CHECKING:
    from engine.generator import Generator

Shown: TypeAlias = Grown | Finished
Events: TypeAlias = AsyncGenerator[tuple[int, Shown], None]
DEADLINE_HEADER, MAX_DEADLINE_MS = "x-request-deadline-ms", 600_000
Handler = Callable[[Request], Awaitable[Response]]


def build_app(host: Host) -> Starlette:
    """All routes over one host."""
    desk = Desk()
    routes = [
        Route("/health", _guarded(_Health(host)), methods=["GET"]),
        Route("/metrics", _guarded(_Metrics(host)), methods=["GET"]),
        Route("/v1/models", _guarded(_Models(host)), methods=["GET"]),
        Route("/v1/completions", _guarded(_Generate(host, desk, parse_completion, TextAnswer)), methods=["POST"]),
        Route("/v1/chat/completions", _guarded(_Generate(host, desk, parse_chat, ChatAnswer)), methods=["POST"]),
        Route("/classify", _guarded(_Classify(host)), methods=["POST"]),
        Route("/adapters", _guarded(_AddAdapter(host)), methods=["POST"]),
        Route("/adapters/{name}", _guarded(_RemoveAdapter(host)), methods=["DELETE"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: _unknown_path, 405: _unknown_path})


class _Health:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        if not self._host.is_ready:
            return JSONResponse({"status": "loading"}, status_code=503)
        return JSONResponse({"status": "ok", "pending": self._host.loop.pending})


class _Metrics:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        return Response(exposition(self._host.loop, self._host.served()), media_type=CONTENT_TYPE)


class _Models:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        _ = self._host.loop
        served: list[Served] = [*self._host.served(), *self._host.adapters()]
        return JSONResponse({"object": "list", "data": [_entry(self._host, model) for model in served]})


def _entry(host: Host, model: Served) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": model.spec.name,
        "object": "model",
        "created": host.started,
        "owned_by": "gatehouse",
        "task": model.spec.task,
        "weights": model.digest,
        "max_model_len": model.max_model_len,
        "precision": model.precision,
        "role": "guard" if model.is_guard else "chat",
        "deterministic": model.spec.deterministic,
    }
    if isinstance(model, ServedGenerator):
        entry |= {"images": model.generator.eyes is not None, "device": model.generator.device.type}
    adapter = model.generator.adapter if isinstance(model, ServedGenerator) else None
    if adapter is not None:
        entry |= {"parent": model.spec.name.rpartition(":")[0], "adapter": adapter.digest, "rank": adapter.rank}
    return entry


class _AddAdapter:
    """Only this host's user can connect, so a path is taken as it is: what is in it is checked like any model."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        fields = parse_object(await read_body(request))
        name, path = fields.text("name"), Path(fields.text("path"))
        if not path.is_absolute():
            fields.refuse("path", "expected an absolute path")
        fields.done()
        model = await asyncio.to_thread(self._host.add_adapter, name, path)
        return JSONResponse(_entry(self._host, model), status_code=201)


class _RemoveAdapter:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        name = request.path_params["name"]
        self._host.remove_adapter(name)
        return JSONResponse({"id": name, "object": "model", "deleted": True})


class _Generate:
    """Both generating endpoints: they differ in how a body is read and how an answer looks."""

    def __init__(
        self, host: Host, desk: Desk, parse: Callable[[Fields, Generator], Asked], answer: type[Answer]
    ) -> None:
        self._host, self._desk, self._parse, self._answer = host, desk, parse, answer

    async def __call__(self, request: Request) -> Response:
        fields = parse_object(await read_body(request))
        model = self._host.generator(fields.text("model"))
        seconds = deadline_s(request)
        asked = (await self._read(fields, model.generator, seconds)).within(seconds)
        answer = self._answer(model.spec.name, model.digest, asked, model.generator.tokenizer)
        events = calls.generate(self._host.loop, model.generator, asked)
        if asked.streams:
            # The first event is awaited here: what goes wrong before it still gets a status of its own.
            first = await until_disconnected(request, anext(events))
            return EventStream(_streamed(answer, first, events))
        await until_disconnected(request, _collect(answer, events))
        return JSONResponse(answer.whole())

    async def _read(self, fields: Fields, model: Generator, seconds: float) -> Asked:
        if not shows_pictures(fields):
            return self._parse(fields, model)
        return await self._desk.read(lambda: self._parse(fields, model), seconds)


async def _collect(answer: Answer, events: Events) -> None:
    async with aclosing(events):
        async for index, event in events:
            answer.take(index, event)


async def _streamed(answer: Answer, first: tuple[int, Shown], events: Events) -> AsyncGenerator[bytes, None]:
    """The server-sent events of an answer. One that breaks off ends with its error, without `[DONE]`."""
    async with aclosing(events):
        try:
            for piece in [*answer.opening(), *answer.take(*first)]:
                yield answer.encode(piece)
            async for index, event in events:
                for piece in answer.take(index, event):
                    yield answer.encode(piece)
            yield answer.ending()
        except RequestError as exc:
            yield encode_event(error_body(exc))


class _Classify:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, request: Request) -> Response:
        fields = parse_object(await read_body(request))
        model = self._host.classifier(fields.text("model"))
        parsed = parse_classify(fields, model.info, model.tokenizer)
        classifying = calls.classify(self._host.loop, model.lane, parsed.inputs, deadline_s(request))
        scores = await until_disconnected(request, classifying)
        return JSONResponse(classify_answer(model.spec.name, model.digest, model.info, parsed, scores))


def deadline_s(request: Request) -> float:
    """Seconds the caller is going to wait; endless when it does not say."""
    stated = request.headers.get(DEADLINE_HEADER)
    if stated is None:
        return math.inf
    if not (stated.isascii() and stated.isdigit() and 0 < int(stated[:10]) <= MAX_DEADLINE_MS and len(stated) <= 10):
        told = f"`{DEADLINE_HEADER}`: expected an integer 1 to {MAX_DEADLINE_MS}"
        raise BadRequest("invalid_parameter", told, DEADLINE_HEADER)
    return int(stated) / 1000


async def read_body(request: Request) -> bytes:
    """The whole body, or TooLarge before it is all in memory."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge("body_too_large", f"the body has more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


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
