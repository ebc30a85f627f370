"""What decoders are fed is hostile: every file becomes the picture a viewer shows, or a refusal with a stable code."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.vision import picture
from engine.vision.picture import MAX_BYTES, MAX_SCANS, NoPicture, decode, kind_of, size_of
from tests.engine.vision.seeing import encoded, noise

PNG, JPEG, WEBP, GIF = picture.KINDS
ORIENTATION = 0x0112


def refused(data: bytes, claimed: str = PNG) -> str:
    with pytest.raises(NoPicture) as caught:
        decode(data, claimed)
    return caught.value.code


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, packed: bytes = b"") -> bytes:
    """A PNG that claims a size, whatever it holds."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", packed or zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("kind", "claimed", "options"),
    [("PNG", PNG, {}), ("WEBP", WEBP, {"lossless": True}), ("JPEG", JPEG, {"quality": 100, "subsampling": 0})],
)
def test_each_kind_comes_out_as_its_pixels(kind: str, claimed: str, options: dict[str, Any]) -> None:
    image = noise(40, 30).resize((120, 90))
    data = encoded(image, kind, **options)
    found = decode(data, claimed)
    assert kind_of(data) == claimed
    assert size_of(data, claimed) == found.size == image.size
    far = max(abs(a - b) for a, b in zip(found.tobytes(), image.tobytes(), strict=True))
    assert far <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize(("kind", "claimed"), [("GIF", GIF), ("WEBP", WEBP), ("PNG", PNG)])
def test_of_a_picture_that_moves_the_first_frame_is_taken(kind: str, claimed: str) -> None:
    red, blue = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(red, kind, save_all=True, append_images=[blue], duration=100, **options)
    assert decode(data, claimed).getpixel((3, 3)) == (255, 0, 0)


def test_what_can_be_seen_through_lies_on_white() -> None:
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert decode(encoded(half), PNG).getpixel((1, 1)) == (255, 127, 127)
    grey = Image.new("LA", (4, 4), (0, 0))
    assert decode(encoded(grey), PNG).getpixel((1, 1)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    assert decode(encoded(palette, transparency=1), PNG).getpixel((1, 1)) == (255, 255, 255)
    assert decode(encoded(palette), PNG).getpixel((1, 1)) == (9, 8, 7)


def test_greys_of_sixteen_bits_keep_their_range() -> None:
    grey = Image.new("I;16", (3, 1))
    for at, value in enumerate((0, 32896, 65535)):
        grey.putpixel((at, 0), value)
    found = decode(encoded(grey), PNG)
    assert [found.getpixel((at, 0)) for at in range(3)] == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


def test_other_colours_become_red_green_and_blue() -> None:
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = decode(encoded(inks, "JPEG"), JPEG).getpixel((4, 4))  # type: ignore[misc]
    assert red > 200 > 60 > max(green, blue)
    assert decode(encoded(Image.new("1", (8, 8), 1)), PNG).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (7, 3)), (6, (3, 0)), (8, (0, 7))])
def test_what_a_camera_noted_of_its_orientation_is_applied(orientation: int, corner: tuple[int, int]) -> None:
    image = Image.new("RGB", (8, 4))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    found = decode(encoded(image, "PNG", exif=exif), PNG)
    assert found.size == ((4, 8) if orientation in (6, 8) else (8, 4))
    assert found.getpixel(corner) == (255, 255, 255)
    assert not found.getexif()


def test_the_label_must_be_that_of_the_first_bytes() -> None:
    data = encoded(noise(4, 4))
    assert refused(data, JPEG) == "image_type"
    assert refused(b"<svg xmlns='http://www.w3.org/2000/svg'/>", PNG) == "image_type"
    assert refused(b"", PNG) == "image_type"
    assert refused(encoded(noise(4, 4), "TIFF"), PNG) == "image_type"
    assert refused(b"%!PS-Adobe-3.0 EPSF-3.0\n", PNG) == "image_type"


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ((0, 0), "image_broken"),
        ((10_000, 1), "image_size"),
        ((1, 65), "image_size"),
        ((20_000, 20_000), "image_size"),
        ((16_385, 400), "image_size"),
        ((7681, 4320), "image_size"),
        ((2**31 - 1, 2**31 - 1), "image_size"),
    ],
)
def test_what_a_file_claims_is_checked_before_it_is_unpacked(size: tuple[int, int], code: str) -> None:
    assert refused(png(*size)) == code
    with pytest.raises(NoPicture):
        size_of(png(*size), PNG)


def test_a_bomb_of_few_bytes_is_not_unpacked() -> None:
    zeros = zlib.compress(bytes(50_000_000), 9)
    assert len(zeros) < 60_000
    assert refused(png(12_000, 12_000, zeros)) == "image_size"


def test_a_file_that_is_too_large_is_not_looked_at() -> None:
    assert refused(b"\x89PNG\r\n\x1a\n" + bytes(MAX_BYTES)) == "image_too_large"


def test_a_jpeg_of_endless_scans_is_not_unpacked() -> None:
    data = encoded(noise(64, 64), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at : data.rindex(b"\xff\xd9")]
    assert decode(data, JPEG).size == (64, 64)
    assert refused(data[:at] + scan * MAX_SCANS + b"\xff\xd9", JPEG) == "image_broken"


@pytest.mark.parametrize(("kind", "claimed"), [("PNG", PNG), ("JPEG", JPEG), ("WEBP", WEBP), ("GIF", GIF)])
def test_a_cut_off_file_is_broken(kind: str, claimed: str) -> None:
    data = encoded(noise(60, 60), kind)
    for share in (0.1, 0.5, 0.9):
        assert refused(data[: int(len(data) * share)], claimed) == "image_broken"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_changed_bytes_are_a_picture_or_a_refusal(data: st.DataObject) -> None:
    kind, claimed = data.draw(st.sampled_from([("PNG", PNG), ("JPEG", JPEG), ("WEBP", WEBP), ("GIF", GIF)]))
    file = bytearray(encoded(noise(12, 9), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(file), claimed)
    except NoPicture as exc:
        found = Image.new("RGB", (1, 1))
        code = exc.code
    else:
        code = ""
    assert code in ("", "image_type", "image_size", "image_broken")
    assert found.mode == "RGB"
    assert min(found.size) >= 1


def test_nothing_but_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    data = encoded(noise(4, 4), "JPEG", exif=exif, comment=b"a secret name", icc_profile=b"a secret profile")
    assert data.count(b"secret") == 3
    assert b"secret" not in encoded(decode(data, JPEG))
    assert decode(data, JPEG).info == {}
