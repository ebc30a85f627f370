"""`python -m engine.vision.sanitise`: pictures unpacked and packed anew, in a process that may be killed.

Whoever passes pictures on starts it and gives it one after the other on stdin: a line `TYPE LENGTH still|moving`, then
base64 of that length. On stdout comes a line of JSON, `{"pictures": [{"kind", "length", "width", "height", "at"}]}` or
`{"code", "problem"}`, then the base64 of each. What comes out shows the same and holds nothing else of the file; it is
no larger than a model looks at closely. A picture that moves becomes its frames. Before the first one the process gives
up what it could do besides: it can open no file and no connection, write to none, start no other process, and has a
limit on its memory. Whoever started it limits its time. It ends when stdin does.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import resource
import sys
from typing import BinaryIO

from PIL import Image

from engine.vision.frames import frames
from engine.vision.picture import FORMATS, MAX_BYTES, NoPicture, decode

MAX_SENT_PIXELS = 2048 * 2048
"""More than any canvas shows; a larger picture is made smaller."""
MAX_PNG_BYTES = 4 * 1024 * 1024
"""A picture that takes more without loss is packed with a little."""
MEMORY = 2 * 1024**3
QUALITY = 95
ORIENTATION = 0x0112
Packed = tuple[dict[str, object], bytes]


def clean(media: str, encoded: bytes, is_moving: bool) -> list[Packed]:
    """(what it is, base64) of each picture that the file becomes. Raises NoPicture."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error as exc:
        raise NoPicture("image_url", "this is not base64") from exc
    if base64.b64encode(data) != encoded:
        raise NoPicture("image_url", "this is not the one base64 of its bytes")
    keeps_all = media != "image/jpeg"
    if is_moving:
        return [_packed(image, keeps_all, at) for at, image in frames(data, media)]
    return [_packed(decode(data, media), keeps_all, None)]


def _packed(image: Image.Image, keeps_all: bool, at: float | None) -> Packed:
    """In PNG, or in JPEG where something was lost already or too much would have to be sent."""
    image = _small(image)
    kind, data = "image/png", _file(image, "PNG") if keeps_all else b""
    if not data or len(data) > MAX_PNG_BYTES:
        kind, data = "image/jpeg", _file(image, "JPEG", quality=QUALITY, subsampling=0)
    encoded = base64.b64encode(data)
    told = {"kind": kind, "length": len(encoded), "width": image.width, "height": image.height, "at": at}
    return told, encoded


def _small(image: Image.Image) -> Image.Image:
    pixels = image.width * image.height
    if pixels <= MAX_SENT_PIXELS:
        return image
    scale = (MAX_SENT_PIXELS / pixels) ** 0.5
    size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    return image.resize(size, Image.Resampling.BILINEAR)


def _file(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Until `source` ends."""
    while line := source.readline(200):
        media, length, how = line.decode("ascii").split()
        if int(length) > -(-MAX_BYTES // 3) * 4:
            raise ValueError("more than whoever asks may send")
        encoded = source.read(int(length))
        try:
            packed = clean(media, encoded, how == "moving")
            told: dict[str, object] = {"pictures": [one for one, _ in packed]}
        except NoPicture as exc:
            packed, told = [], {"code": exc.code, "problem": exc.problem}
        sink.write(json.dumps(told).encode() + b"\n")
        for _, data in packed:
            sink.write(data)
        sink.flush()


def confine() -> None:
    """Nothing but arithmetic on what comes in, for good: a hole in a decoder leads nowhere."""
    _warm_up()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Stdin, stdout and stderr are there; a fourth descriptor there cannot be.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def _warm_up() -> None:
    """Whatever is loaded when it is first used is loaded now: afterwards no file can be opened."""
    Image.init()
    still = Image.new("RGBA", (2, 2))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    for media, kind in FORMATS.items():
        buffer = io.BytesIO()
        still.convert("RGB").save(buffer, kind, exif=exif)
        for is_moving in (False, True):
            clean(media, base64.b64encode(buffer.getvalue()), is_moving)


def main() -> None:
    confine()
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
