"""Pictures of a request, unpacked and packed anew before anyone sees them: what is judged is what is sent.

A file may show one thing to a guard and another to a model, or hold what neither looks at: comments, places, a second
picture behind the first. So each is replaced by one that shows the same and holds nothing else, and the request is then
read again, as if it had come so. A video becomes its frames, each a picture after its time. Requests without pictures
are not touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from gateway.errors import BadRequest
from gateway.exchange import ChatRequest
from gateway.jsonstrict import Json, dumps, loads
from gateway.picture_process import NoPicture, Packed, PictureProcess
from gateway.wire import parse_chat
from gateway.wire_picture import PICTURES
from guards.verdict import Scope
from policies.settings import Limits

ALL_S: Final = 60.0
"""For all pictures of a request."""
LARGE: Final = 512 * 1024
"""Bytes of a body that is read in a thread, so that others are not held up."""


async def read_chat(body: bytes, limits: Limits, process: PictureProcess) -> ChatRequest:
    """A request as it may be judged and sent. Raises BadRequest, and Unavailable when too many pictures wait."""
    request = await _parsed(body, limits)
    if not any(part.scope is Scope.IMAGE for part in request.parts):
        return request
    try:
        async with asyncio.timeout(ALL_S):
            clean = await _cleaned(body, limits, process)
    except TimeoutError as exc:
        told = f"the images of the request take more than {ALL_S:g} s to unpack"
        raise BadRequest("image_slow", told, "messages") from exc
    return replace(await _parsed(clean, limits), bytes_in=len(body))


async def _parsed(body: bytes, limits: Limits) -> ChatRequest:
    return parse_chat(body, limits) if len(body) < LARGE else await asyncio.to_thread(parse_chat, body, limits)


async def _cleaned(body: bytes, limits: Limits, process: PictureProcess) -> bytes:
    """The body has been read once: it is what parse_chat lets through."""
    top = await asyncio.to_thread(loads, body, max_depth=limits.depth)
    messages = top["messages"] if isinstance(top, dict) else None
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(message, dict) and isinstance(content, list):
            where = f"messages[{index}].content"
            message["content"] = [piece async for piece in _pieces(content, where, process)]
    return await asyncio.to_thread(dumps, top)


async def _pieces(content: list[Json], where: str, process: PictureProcess) -> AsyncIterator[Json]:
    for index, piece in enumerate(content):
        kind = piece.get("type") if isinstance(piece, dict) else None
        if not isinstance(piece, dict) or kind not in PICTURES:
            yield piece
            continue
        given = piece[str(kind)]
        assert isinstance(given, dict)
        is_moving = kind == "video_url"
        for packed in await _packed(str(given["url"]), f"{where}[{index}].{kind}.url", is_moving, process):
            if packed.at is not None:
                yield {"type": "text", "text": _time(packed.at)}
            shown: dict[str, Json] = {**given, "url": packed.url}
            yield {"type": "image_url", "image_url": shown | ({"detail": "low"} if is_moving else {})}


async def _packed(url: str, where: str, is_moving: bool, process: PictureProcess) -> list[Packed]:
    head, _, encoded = url.partition(",")
    media = head.removeprefix("data:").removesuffix(";base64")
    try:
        return await process.clean(media, encoded, is_moving)
    except NoPicture as exc:
        raise BadRequest(exc.code, f"`{where}`: {exc.problem}", where) from exc


def _time(seconds: float) -> str:
    """Of a frame, as a model reads it."""
    return f"[{int(seconds) // 60}:{int(seconds) % 60:02}]"
