"""A content part with a picture: which URLs may stand in it. What is behind one is looked at elsewhere, unpacked apart.

Only `data:` URLs of four kinds: nothing is fetched, by the gateway or by the model server. gateway/pictures.py replaces
each by one that is packed anew before anyone judges it.
"""

from __future__ import annotations

import re
from typing import Final

from gateway import fields
from gateway.jsonstrict import Json
from gateway.wire_top import HINTS

PICTURES: Final = ("image_url", "video_url")
"""Types of content parts that show something."""
_DATA_URL: Final = re.compile(r"data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")


def picture(value: Json, kind: str, where: str) -> dict[str, Json]:
    """A part of one of these types, or BadRequest."""
    piece = fields.known_keys(value, where, {"type": None, kind: None, **HINTS})
    image = fields.known_keys(piece.get(kind), f"{where}.{kind}", {"url": None, "detail": None})
    url = fields.text(image.get("url"), f"{where}.{kind}.url")
    if not _DATA_URL.fullmatch(url):
        fields.wrong(f"{where}.{kind}.url", "a `data:` URL of a PNG, JPEG, WebP or GIF; nothing is fetched")
    out: dict[str, Json] = {"url": url}
    if "detail" in image:
        detail = fields.one_of("auto", "low", "high", "original")(image["detail"], f"{where}.{kind}.detail")
        # Servers know the first three, and nothing is sent in more detail than it was packed anew with.
        out["detail"] = "high" if detail == "original" else detail
    return {"type": kind, kind: out}
