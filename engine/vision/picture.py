"""The bytes of a picture's file to red, green and blue, or a refusal that says why; hostile bytes are the usual case.

What a file claims is checked before anything of it is unpacked: its size, its kind by its first bytes and not by its
label, its width and height. Only the four kinds are ever handed to a decoder. Of a picture that moves the first frame
is taken. What a viewer would show is what comes out: the orientation that a camera noted is applied, what can be seen
through lies on white, greys of sixteen bits keep their range, other colours are turned into red, green and blue.
Nothing else of a file (comments, places, thumbnails, colour profiles) is kept. No torch here.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from PIL import Image, ImageFile, ImageOps

MAX_BYTES: Final = 10 * 1024 * 1024
MAX_PIXELS: Final = 7680 * 4320
MAX_SIDE: Final = 16_384
MAX_RATIO: Final = 64
"""Longer side to shorter: at more, the shorter one would be less than six pixels on any canvas."""
MAX_SCANS: Final = 64
"""Of a JPEG. Each is a pass over the whole picture and may be a few bytes long, so the file's size bounds nothing."""
_SCAN: Final = b"\xff\xda"
FORMATS: Final[Mapping[str, str]] = MappingProxyType(
    {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF"}
)
KINDS: Final = tuple(FORMATS)

# Past twice this Pillow refuses by itself; what lies between is refused below, so its warning says nothing new.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
ImageFile.LOAD_TRUNCATED_IMAGES = False


class NoPicture(Exception):
    """These bytes are not shown to a model. `code` is stable; the message names limits, never content."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code, self.problem = code, problem


def kind_of(data: bytes) -> str:
    """The media type that the first bytes are of; empty: none of the four."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def size_of(data: bytes, claimed: str) -> tuple[int, int]:
    """Width and height as the file states them, from its head only; a camera's orientation may swap them."""
    with opened(data, claimed) as image:
        return image.size


def decode(data: bytes, claimed: str) -> Image.Image:
    """The picture in red, green and blue. `claimed`: the media type it came with. Raises NoPicture."""
    with opened(data, claimed) as image:
        return as_seen(image)


@contextmanager
def opened(data: bytes, claimed: str) -> Iterator[Image.Image]:
    """A picture whose head has been read and checked; what goes wrong while it is unpacked is a NoPicture, too."""
    kind = kind_of(data)
    if len(data) > MAX_BYTES:
        raise NoPicture("image_too_large", f"the image has {len(data)} bytes, expected at most {MAX_BYTES}")
    if not kind:
        raise NoPicture("image_type", "the image is not a PNG, JPEG, WebP or GIF file")
    if kind != claimed:
        raise NoPicture("image_type", f"the image is {kind}, its label says another type")
    if kind == "image/jpeg" and data.count(_SCAN) > MAX_SCANS:
        raise NoPicture("image_broken", f"the image is a JPEG of more than {MAX_SCANS} scans")
    try:
        with Image.open(io.BytesIO(data), formats=(FORMATS[kind],)) as image:
            check_size(*image.size)
            yield image
    except NoPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise NoPicture("image_size", f"the image has more than {MAX_PIXELS} pixels") from exc
    # Decoders raise whatever their authors thought of; of hostile bytes all of it means the same.
    except Exception as exc:
        raise NoPicture("image_broken", "the image is broken: it cannot be unpacked to its end") from exc


def check_size(width: int, height: int) -> None:
    """NoPicture unless a picture of this size may be unpacked."""
    told = f"the image has {width} by {height} pixels"
    if width < 1 or height < 1:
        raise NoPicture("image_size", f"{told}, expected at least one")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise NoPicture("image_size", f"{told}, expected sides up to {MAX_SIDE} and {MAX_PIXELS} pixels in all")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise NoPicture("image_size", f"{told}, expected sides of at most {MAX_RATIO} to 1")


def as_seen(image: Image.Image) -> Image.Image:
    """The frame as a viewer shows it, in red, green and blue."""
    image.load()
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):
        turned = turned.convert("I").point(lambda value: value / 257).convert("L")
    is_clear = turned.has_transparency_data
    colours = turned.convert("RGBA" if is_clear else "RGB")
    # A new picture has nothing of the file but what is painted on it.
    shown = Image.new("RGB", colours.size, (255, 255, 255))
    shown.paste(colours, mask=colours.getchannel("A") if is_clear else None)
    return shown
