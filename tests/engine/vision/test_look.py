"""Pictures of a request become tokens; what does not fit is refused before anything is unpacked."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest

from engine.errors import BadRequest
from engine.generator import Generator, Options, load_generator
from engine.vision.frames import label
from engine.vision.look import Look
from engine.vision.sent import MAX_PICTURES, Sent
from tests.engine.vision import seeing
from tests.engine.vision.test_frames import moving

ENOUGH = Options(kv_bytes=10_000_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    directory = tmp_path_factory.mktemp("look")
    seeing.llama4(directory)
    return load_generator(directory, ENOUGH)


def shown(width: int, height: int, where: str = "here", is_small: bool = False) -> Sent:
    return Sent(seeing.encoded(seeing.noise(width, height)), "image/png", where, is_small)


def hollow(width: int, height: int) -> Sent:
    """A head that claims a size, and nothing to unpack."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return Sent(data + struct.pack(">I", 9) + b"IDAT", "image/png", "hollow")


def code(look: Look, *pictures: Sent) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        look.check(pictures)
    return caught.value.code, caught.value.param


def test_tokens_are_counted_before_anything_is_unpacked(model: Generator) -> None:
    large = hollow(1000, 1000)
    look = Look(model.eyes, 200)
    look.check([large, replace(large, is_small=True), large])
    assert code(look, large, large, replace(large, where="third")) == ("context_length_exceeded", "third")


def test_numbers_and_pixels_of_a_request_are_bounded(model: Generator) -> None:
    look = Look(model.eyes, 1_000_000)
    tiny_one = shown(2, 2)
    assert code(look, *[tiny_one] * MAX_PICTURES, replace(tiny_one, where="last")) == ("too_many_images", "last")
    assert code(look, *[hollow(7000, 4700)] * 5)[0] == "image_size"


def test_a_broken_picture_names_its_field(model: Generator) -> None:
    look = Look(model.eyes, 500)
    assert code(look, Sent(b"GIF89a", "image/gif", "messages[0]")) == ("image_broken", "messages[0]")
    look.check([hollow(9, 9)])
    with pytest.raises(BadRequest) as caught:
        look.tokens(hollow(9, 9))
    assert (caught.value.code, caught.value.param) == ("image_broken", "hollow")


def test_a_model_that_reads_only_is_shown_nothing() -> None:
    assert code(Look(None, 500), shown(2, 2, "x")) == ("images_unsupported", "x")


def test_a_video_is_its_frames_after_their_times(model: Generator) -> None:
    look = Look(model.eyes, 500)
    found = look.tokens(Sent(moving(25, 100), "image/gif", "v", is_moving=True))
    assert found[::2] == [label(0), label(1), label(2)]
    assert [len(one[0]) for one in found[1::2]] == [seeing.PATCHES + 3] * 3
    assert len({one[0][3] for one in found[1::2] if not isinstance(one, str)}) == 3


def test_pictures_are_put_before_tokens_of_a_prompt(model: Generator) -> None:
    look = Look(model.eyes, 500)
    one = look.tokens(shown(4, 4))[0]
    assert not isinstance(one, str)
    ids, placed = look.between([7, 8, 9], [(1, one), (1, one), (3, one)])
    size = len(one[0])
    assert ids == (7, *one[0], *one[0], 8, 9, *one[0])
    assert [part.begins for part in placed] == [(3,), (3 + size,), (5 + 2 * size,)]
