"""Pictures in a request: what a content part may look like, checked before anything of it is unpacked.

Only `data:` URLs: nothing is ever fetched. Numbers and sizes are looked at first, base64 is strict, and the label has
to be one of four media types. A file that moves may be sent as a video: its frames are pictures with their time then.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from engine.errors import BadRequest
from engine.vision.picture import KINDS, MAX_BYTES

Json: TypeAlias = Any
"""A parsed JSON value: looked at before use."""
MAX_PICTURES: Final = 32
"""In one request."""
DETAILS: Final = ("auto", "low", "high")
_MAX_ENCODED: Final = -(-MAX_BYTES // 3) * 4
PART_KINDS: Final = ("image_url", "video_url")


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture as it came."""

    data: bytes = field(repr=False)
    kind: str
    """The media type that its label claims."""
    where: str
    """The field that holds it."""
    is_small: bool = False
    """One tile is enough."""
    is_moving: bool = False


Piece: TypeAlias = str | Sent
"""What a message is made of."""


def is_picture(part: Json) -> bool:
    return isinstance(part, dict) and part.get("type") in PART_KINDS


def sent(part: Json, where: str) -> Sent:
    """A content part of type `image_url` or `video_url`, or BadRequest."""
    kind = str(part["type"])
    if set(part) != {"type", kind}:
        raise _wrong(where, f"expected `type` and `{kind}`")
    told, where = part[kind], f"{where}.{kind}"
    if not isinstance(told, dict) or not set(told) <= {"url", "detail"}:
        raise _wrong(where, "expected an object with `url`, and maybe `detail`")
    is_moving = kind == "video_url"
    return sent_as(told.get("url"), told.get("detail", "auto"), where, is_moving)


def sent_as(url: Json, detail: Json, where: str, is_moving: bool = False) -> Sent:
    """The picture behind a URL."""
    if detail not in DETAILS:
        raise _wrong(f"{where}.detail", f"expected one of {', '.join(DETAILS)}")
    where = f"{where}.url"
    media, data = decoded(url, where)
    return Sent(data, media, where, detail == "low", is_moving)


def decoded(url: Json, where: str) -> tuple[str, bytes]:
    """Media type and bytes of a `data:` URL."""
    head, comma, body = url.partition(",") if isinstance(url, str) else ("", "", "")
    media = head.removeprefix("data:").removesuffix(";base64")
    if not comma or head != f"data:{media};base64" or media not in KINDS:
        kinds = ", ".join(KINDS)
        raise BadRequest("image_url", f"`{where}`: expected `data:TYPE;base64,…` of {kinds}; nothing is fetched", where)
    if len(body) > _MAX_ENCODED:
        raise BadRequest("image_too_large", f"`{where}`: expected an image of at most {MAX_BYTES} bytes", where)
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadRequest("image_url", f"`{where}`: this is not base64", where) from exc
    if base64.b64encode(data).decode() != body:
        raise BadRequest("image_url", f"`{where}`: this is not the one base64 of its bytes", where)
    return media, data


def _wrong(where: str, expected: str) -> BadRequest:
    return BadRequest("invalid_parameter", f"`{where}`: {expected}", where)
