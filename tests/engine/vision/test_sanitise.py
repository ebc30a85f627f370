"""What comes out of the process shows what went in, and holds nothing else of it."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from engine.vision.picture import MAX_BYTES, NoPicture, decode
from engine.vision.sanitise import MAX_SENT_PIXELS, clean, serve
from tests.engine.vision.seeing import encoded, noise
from tests.engine.vision.test_frames import moving

ROOT = Path(__file__).parents[3]


def one(data: bytes, kind: str) -> tuple[dict[str, object], bytes]:
    ((told, packed),) = clean(kind, base64.b64encode(data), is_moving=False)
    assert told["length"] == len(packed)
    return told, base64.b64decode(packed)


def asked(data: bytes, kind: str, how: str = "still") -> bytes:
    body = base64.b64encode(data)
    return f"{kind} {len(body)} {how}\n".encode() + body


def test_pixels_stay_and_everything_else_goes() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret place"
    data = encoded(noise(30, 20), "PNG", exif=exif)
    told, packed = one(data + b"a secret tail", "image/png")
    assert (told["kind"], told["width"], told["height"], told["at"]) == ("image/png", 20, 30, None)
    assert b"secret" not in packed
    assert decode(packed, "image/png").tobytes() == decode(data, "image/png").tobytes()


def test_a_jpeg_stays_one_and_what_is_large_without_loss_becomes_one() -> None:
    assert one(encoded(noise(30, 20), "JPEG"), "image/jpeg")[0]["kind"] == "image/jpeg"
    told, packed = one(encoded(noise(1300, 1200), "WEBP", lossless=True), "image/webp")
    assert told["kind"] == "image/jpeg"
    assert decode(packed, "image/jpeg").size == (1300, 1200)


def test_a_picture_is_no_larger_than_a_model_looks_at_closely() -> None:
    told, _ = one(encoded(Image.new("RGB", (4000, 2000))), "image/png")
    width, height = told["width"], told["height"]
    assert isinstance(width, int)
    assert isinstance(height, int)
    assert width * height <= MAX_SENT_PIXELS < (width + 2) * (height + 2)
    assert abs(width / height - 2) < 0.01


def test_a_video_becomes_its_frames() -> None:
    found = clean("image/gif", base64.b64encode(moving(25, 100)), is_moving=True)
    assert [told["at"] for told, _ in found] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("body", [b"QUJ", b"QQ==QQ==", b"QR==", b"Q UJ"])
def test_base64_is_strict(body: bytes) -> None:
    with pytest.raises(NoPicture) as caught:
        clean("image/png", body, is_moving=False)
    assert caught.value.code == "image_url"


def test_answers_come_in_order_and_a_refusal_is_one() -> None:
    good, sink = encoded(noise(5, 5)), io.BytesIO()
    serve(io.BytesIO(asked(good, "image/png") + asked(b"GIF89a", "image/gif") + asked(good, "image/png")), sink)
    answer = io.BytesIO(sink.getvalue())
    for is_good in (True, False, True):
        told = json.loads(answer.readline())
        if is_good:
            assert decode(base64.b64decode(answer.read(told["pictures"][0]["length"])), "image/png").size == (5, 5)
        else:
            assert told["code"] == "image_broken"
    assert answer.read() == b""


def test_more_than_may_be_asked_ends_it() -> None:
    with pytest.raises(ValueError, match="more than"):
        serve(io.BytesIO(f"image/png {2 * MAX_BYTES} still\n".encode()), io.BytesIO())


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/passwd')",
        "__import__('socket').socket()",
        "__import__('os').pipe()",
        "__import__('resource').setrlimit(7, (99, 99)) or open('/etc/passwd')",
    ],
)
def test_whoever_gets_in_through_a_decoder_gets_nowhere(attempt: str) -> None:
    program = f"""
from engine.vision import sanitise
import socket, resource, os
sanitise.confine()
if os.geteuid() == 0 and 'setrlimit' in {attempt!r}:
    raise OSError('a limit that only root lifts')
{attempt}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT, timeout=30)
    assert done.returncode == 1
    assert b"OSError" in done.stderr or b"ValueError" in done.stderr, done.stderr


def test_confined_it_still_unpacks_everything() -> None:
    transparent = Image.new("RGBA", (9, 9), (1, 2, 3, 4))
    wide = Image.new("I;16", (9, 9), 40_000)
    exif = Image.Exif()
    exif[0x0112] = 8
    turned, second = noise(9, 9), {"save_all": True, "append_images": [noise(9, 9)]}
    files = [
        (encoded(transparent), "image/png"),
        (encoded(wide), "image/png"),
        (encoded(turned, "JPEG", progressive=True, exif=exif), "image/jpeg"),
        (encoded(turned, "MPO", **second), "image/jpeg"),
        (encoded(Image.new("CMYK", (9, 9)), "JPEG"), "image/jpeg"),
        (encoded(transparent, "WEBP"), "image/webp"),
        (encoded(turned.convert("P"), "GIF", transparency=3), "image/gif"),
    ]
    asks = b"".join(asked(data, kind) for data, kind in files) + asked(moving(12, 500), "image/gif", "moving")
    done = subprocess.run(
        [sys.executable, "-m", "engine.vision.sanitise"], input=asks, capture_output=True, cwd=ROOT, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b'{"pictures"') == len(files) + 1


def test_the_process_needs_no_model_library_and_ends_with_its_input() -> None:
    program = [sys.executable, "-X", "importtime", "-m", "engine.vision.sanitise"]
    done = subprocess.run(
        program, input=asked(encoded(noise(4, 4)), "image/png"), capture_output=True, cwd=ROOT, timeout=30
    )
    assert done.returncode == 0
    assert json.loads(done.stdout.split(b"\n")[0])["pictures"][0]["width"] == 4
    assert b"torch" not in done.stderr
