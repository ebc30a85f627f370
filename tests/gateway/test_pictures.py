"""What is judged is what is sent: pictures of a request are packed anew, and the request is read again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from PIL import Image

from gateway.errors import BadRequest
from gateway.picture_process import PictureProcess
from gateway.pictures import read_chat
from guards.verdict import Scope
from policies.settings import Limits
from tests.gateway.pictures import GIF, JPEG, encoded, encoded_png, moving_gif, pixels, shown, url

LIMITS = Limits(images=3)
WHERE = "messages[0].content[1].image_url.url"


@pytest.fixture
async def process() -> AsyncIterator[PictureProcess]:
    async with aclosing(PictureProcess()) as process:
        yield process


def body(*content: Any, **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": list(content)}], **more}).encode()


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


async def test_a_request_without_pictures_starts_no_process() -> None:
    process = PictureProcess(("/does/not/exist",))
    request = await read_chat(body(text("hello")), LIMITS, process)
    assert [part.text for part in request.parts] == ["hello"]


async def test_the_part_and_the_body_hold_the_same_new_bytes(process: PictureProcess) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret place"
    data = encoded_png(6, 4, exif=exif)
    sent = body(text("look"), shown(data, detail="low"), text("here"), user="alice")
    request = await read_chat(sent, LIMITS, process)
    content = request.body["messages"][0]["content"]  # type: ignore[index, call-overload]
    (part,) = [part for part in request.parts if part.scope is Scope.IMAGE]
    assert part.path == "/messages/0/content/1/image_url/url"
    assert content[1] == {"type": "image_url", "image_url": {"url": part.picture, "detail": "low"}}
    assert part.picture != url(data)
    assert "secret" not in part.picture
    found = pixels(part.picture)
    assert (found.size, found.getpixel((1, 1))) == ((4, 6), (200, 30, 40))
    assert not found.getexif()
    assert (request.bytes_in, request.person) == (len(sent), "alice")
    assert 0 < part.bytes < len(part.picture)
    assert part.picture not in repr(part)


async def test_a_video_becomes_pictures_after_their_times(process: PictureProcess) -> None:
    part = {"type": "video_url", "video_url": {"url": url(moving_gif(25), GIF)}}
    request = await read_chat(body(text("what happens?"), part), LIMITS, process)
    content = request.body["messages"][0]["content"]  # type: ignore[index, call-overload]
    assert [piece["type"] for piece in content] == ["text", "image_url", "text", "image_url", "text", "image_url"]
    assert [piece["text"] for piece in content[::2]] == ["what happens?\n[0:00]", "[0:01]", "[0:02]"]
    assert all(piece["image_url"]["detail"] == "low" for piece in content[1::2])
    assert sum(part.scope is Scope.IMAGE for part in request.parts) == 3


@pytest.mark.parametrize(
    ("part", "code", "param"),
    [
        (shown(b"\x89PNG\r\n\x1a\n"), "image_broken", WHERE),
        (shown(encoded_png(4, 4), JPEG), "image_type", WHERE),
        (shown(encoded_png(65, 1)), "image_size", WHERE),
        (shown(encoded(Image.new("RGB", (90, 90)), "JPEG")[:300], JPEG), "image_broken", WHERE),
        ({"type": "video_url", "video_url": {"url": url(moving_gif(50), GIF)}}, "limit_images", None),
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "invalid_value", None),
        ({"type": "image_url", "image_url": {"url": url(encoded_png(4, 4)) + "="}}, "image_url", None),
        ({"type": "input_audio", "input_audio": {}}, "unsupported_content", None),
    ],
)  # fmt: skip
async def test_a_bad_picture_is_refused_by_its_field(
    process: PictureProcess, part: dict[str, Any], code: str, param: str | None
) -> None:
    with pytest.raises(BadRequest) as caught:
        await read_chat(body(text("look"), part), LIMITS, process)
    assert caught.value.code == code
    assert param in (None, caught.value.param)


async def test_more_pictures_than_the_policy_admits_are_not_unpacked() -> None:
    process = PictureProcess(("/does/not/exist",))
    for limits, count in ((LIMITS, 4), (Limits(), 1)):
        with pytest.raises(BadRequest) as caught:
            await read_chat(body(*[shown(encoded_png(4, 4))] * count), limits, process)
        assert caught.value.code == "limit_images"
