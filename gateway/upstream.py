"""The model server as a source of answer events: one POST, read strictly, never retried once it was sent.

The path is a constant and the model id goes through a table, so nothing a caller writes becomes part of a URL. Answers
are asked for unencoded; an encoded one is refused, because a guard would judge other bytes than the client reads.
Nothing is retried here: the server may already have done the work, and the caller's SDK retries what is safe to.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from gateway.answer import read_chunk, read_unary
from gateway.errors import BadRequest, NotFound, Unavailable, UpstreamFailed, UpstreamTimeout
from gateway.exchange import AnswerEvent, Finish
from gateway.jsonstrict import Json, loads
from gateway.local_model import LocalModel
from gateway.refusal import failed
from gateway.sse import EventParser
from gateway.steps import Place

MAX_ANSWER: Final = 16 * 1024 * 1024
_MODELS_KEPT_S: Final = 30.0
_MODEL_ID: Final = re.compile(r"[\w./:@+~,=#()\\-]{1,256}")
"""What a listed model may be called: no blanks and no markup, since clients read it and nobody judges it."""
_FRAMES: Final = frozenset(("transfer-encoding", "content-length"))
"""One of these tells the end of a body from a connection that was lost."""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Where the model server is and how long it may take. Seconds."""

    base_url: str
    """Ends in `/v1`."""
    name: str = "engine"
    api_key: str = ""
    models: tuple[tuple[str, str], ...] = ()
    """(public name, the server's own name). Empty: whatever the server lists, under its own names."""
    connect_s: float = 2.0
    first_byte_s: float = 120.0
    """The longest silence: before the first byte, and between two."""
    total_s: float = 900.0
    """From the request to the last byte of the answer."""
    class_: str = "local"
    """What kind of place it is, for policies: `local`, `external`, or a name of the site's."""
    local: LocalModel | None = None
    """What the local model host runs; None: a server elsewhere."""
    tokenizer: Path | None = None
    """A directory with its tokenizer; of a server at a URL, if the operator has one here."""

    def __repr__(self) -> str:
        return f"UpstreamSettings({self.name!r}, {self.base_url!r})"


class Upstream:
    """Asks one OpenAI-compatible server."""

    def __init__(
        self, settings: UpstreamSettings, client: httpx.AsyncClient, models_kept_s: float = _MODELS_KEPT_S
    ) -> None:
        self.settings = settings
        self._models_kept_s = models_kept_s
        self._client = client
        self._models: dict[str, str] = dict(settings.models)
        self._models_until = float("inf") if settings.models else 0.0
        self._chat_url = httpx.URL(settings.base_url + "/chat/completions")
        self._models_url = httpx.URL(settings.base_url + "/models")
        self._headers = httpx.Headers({"content-type": "application/json", "accept-encoding": "identity"})
        if settings.api_key:
            self._headers["authorization"] = f"Bearer {settings.api_key}"
        self._extensions = {"timeout": httpx.Timeout(settings.first_byte_s, connect=settings.connect_s).as_dict()}

    async def models(self) -> Mapping[str, str]:
        """Public model name to the server's own. Raises Unavailable when the server cannot be asked."""
        if time.monotonic() >= self._models_until:
            self._remember(await self._listed())
        return self._models

    async def probe(self) -> None:
        """Ask the server now, whatever is remembered. Raises GatewayError when an exchange could not succeed."""
        try:
            listed = await self._listed()
        except NotFound:
            if not self.settings.models:
                raise
            return  # it answers, and what it serves is configured
        if not self.settings.models:
            self._remember(listed)

    def _remember(self, listed: Iterable[str]) -> None:
        self._models = {name: name for name in listed}
        self._models_until = time.monotonic() + self._models_kept_s

    def serve(self, model: str) -> None:
        """One more model under its own name, of a server whose models are configured."""
        self._models[model] = model

    def drop(self, model: str) -> None:
        """One fewer: new requests for it are 404."""
        self._models.pop(model, None)

    async def served_as(self, model: str) -> str:
        """The server's name for a public model name. Raises NotFound."""
        try:
            return (await self.models())[model]
        except KeyError:
            raise unknown_model() from None

    async def place(self, model: str, engine: str = "") -> Place:
        """This server, as where requests for a model go. Raises NotFound."""
        if engine not in ("", self.settings.name):
            raise unknown_model()
        settings = self.settings
        return Place(self, await self.served_as(model), settings.name, settings.class_, settings.local is not None)

    def remembered(self) -> Mapping[str, str] | None:
        """As `models`, without asking; None where that would have to be asked."""
        return self._models if time.monotonic() < self._models_until else None

    @property
    def listed(self) -> Mapping[str, str]:
        """As `remembered`, however long ago that was."""
        return self._models

    async def _listed(self) -> list[str]:
        until = time.monotonic() + self.settings.total_s
        response = await self._send("GET", self._models_url, None, until)
        try:
            with _reading():
                body = await self._whole(response, MAX_ANSWER, until)
        finally:
            await response.aclose()
        if response.status_code != 200:
            raise failed(response.status_code, b"")
        try:
            top = loads(body, max_depth=16)
        except BadRequest:
            top = None
        rows = top.get("data") if isinstance(top, dict) else None
        if not isinstance(rows, list):
            raise UpstreamFailed("upstream_bad_answer", "the model server's list of models cannot be read")
        return [str(row["id"]) for row in rows if isinstance(row, dict) and _is_chat_model(row)]

    async def answer(self, body: bytes, *, stream: bool, choices: int) -> AsyncGenerator[AnswerEvent]:
        """Send judged bytes, yield what comes back. Raises GatewayError; closing the iterator hangs up."""
        until = time.monotonic() + self.settings.total_s
        response = await self._send("POST", self._chat_url, body, until)
        try:
            with _reading():
                if response.status_code != 200:
                    raise failed(response.status_code, await self._whole(response, 64 * 1024, until))
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise UpstreamFailed(
                        "upstream_encoded", "the model server sent an encoded answer though none was asked for"
                    )
                if stream:
                    async for event in self._streamed(response, choices, until):
                        yield event
                else:
                    for event in read_unary(await self._whole(response, MAX_ANSWER, until), choices):
                        yield event
        finally:
            await response.aclose()

    async def _send(self, method: str, url: httpx.URL, body: bytes | None, until: float) -> httpx.Response:
        request = httpx.Request(method, url, content=body, headers=self._headers, extensions=self._extensions)
        try:
            # Each byte of a header, and each `100 Continue`, ends the silence that the transport has a timeout for.
            async with asyncio.timeout(until - time.monotonic()):
                return await self._client.send(request, stream=True)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as exc:
            raise UpstreamTimeout("upstream_timeout", "the model server did not answer in time") from exc
        except httpx.HTTPError as exc:
            raise Unavailable("upstream_unreachable", "the model server cannot be reached") from exc

    async def _streamed(self, response: httpx.Response, choices: int, until: float) -> AsyncGenerator[AnswerEvent]:
        parser, ended, size = EventParser(), set[int](), 0
        async for piece in self._pieces(response, until):
            size += len(piece)
            if size > MAX_ANSWER:
                raise UpstreamFailed(
                    "upstream_too_large", f"the model server's stream is larger than {MAX_ANSWER} bytes"
                )
            for data in parser.feed(piece):
                if data.strip() == "[DONE]":
                    return
                for event in read_chunk(data, choices):
                    if isinstance(event, Finish):
                        ended.add(event.choice)
                    yield event
        if len(ended) == choices and _FRAMES & response.headers.keys():
            return  # some servers know no [DONE]: each choice has ended, and the body says itself that it is whole
        raise UpstreamFailed("upstream_cut_off", "the model server's stream ended before it was complete")

    async def _whole(self, response: httpx.Response, limit: int, until: float) -> bytes:
        body = bytearray()
        async for piece in self._pieces(response, until):
            body += piece
            if len(body) > limit:
                raise UpstreamFailed("upstream_too_large", f"the model server's answer is larger than {limit} bytes")
        return bytes(body)

    async def _pieces(self, response: httpx.Response, until: float) -> AsyncGenerator[bytes]:
        """What comes, each piece in time. The transport's own timeout is lost when a server breaks its chunking."""
        pieces = response.aiter_raw()
        while (left := until - time.monotonic()) > 0:
            async with asyncio.timeout(min(left, self.settings.first_byte_s)):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
        raise TimeoutError


@contextmanager
def _reading() -> Iterator[None]:
    """What can break while an answer is read, in our words."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as exc:
        raise UpstreamTimeout("upstream_timeout", "the model server stopped answering") from exc
    except httpx.HTTPError as exc:
        raise UpstreamFailed("upstream_broken", "the connection to the model server broke during its answer") from exc


def unknown_model() -> NotFound:
    """For a client that asks for a model which nobody serves."""
    told = "the model that `model` names is not served here; see GET /v1/models"
    return NotFound("model_not_found", told, "model")


def _is_chat_model(row: Mapping[str, Json]) -> bool:
    name = row.get("id")
    usable = isinstance(name, str) and _MODEL_ID.fullmatch(name) is not None
    return usable and row.get("task", "generate") == "generate"
