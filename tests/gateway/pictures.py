"""Pictures for requests."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

PNG, JPEG, GIF = "image/png", "image/jpeg", "image/gif"


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encoded_png(width: int, height: int, colour: tuple[int, int, int] = (200, 30, 40), **options: Any) -> bytes:
    return encoded(Image.new("RGB", (width, height), colour), "PNG", **options)


def moving_gif(count: int, ms: int = 100) -> bytes:
    frames = [Image.new("RGB", (6, 4), (at * 5,) * 3) for at in range(count)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=ms)


def url(data: bytes, kind: str = PNG) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def shown(data: bytes, kind: str = PNG, **more: Any) -> dict[str, Any]:
    """A content part."""
    return {"type": "image_url", "image_url": {"url": url(data, kind), **more}}


def pixels(address: str) -> Image.Image:
    """What a `data:` URL holds."""
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
