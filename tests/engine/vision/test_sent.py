"""A content part with a picture is exactly what it may be, or a refusal that names the field."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadRequest
from engine.vision import sent as module
from engine.vision.sent import is_picture, sent
from tests.engine.vision.seeing import encoded, noise, url

PNG = "data:image/png;base64,"


def part(url: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def refused(raw: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        sent(raw, "messages[0].content[1]")
    return caught.value


def test_a_picture_comes_with_its_bytes_and_its_place() -> None:
    data = encoded(noise(4, 4))
    found = sent(part(url(data), detail="low"), "messages[0].content[1]")
    assert (found.data, found.kind, found.is_small, found.is_moving) == (data, "image/png", True, False)
    assert found.where == "messages[0].content[1].image_url.url"
    assert not sent(part(url(data)), "x").is_small
    moving = sent({"type": "video_url", "video_url": {"url": "data:image/gif;base64,QUJD"}}, "x")
    assert (moving.data, moving.kind, moving.is_moving) == (b"ABC", "image/gif", True)
    assert "QUJD" not in repr(moving)


def test_what_is_a_picture() -> None:
    assert is_picture({"type": "image_url"})
    assert is_picture({"type": "video_url"})
    assert not any(map(is_picture, ({"type": "text"}, {}, "image_url", None, 5, [])))


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/a.png", "file:///etc/passwd", "/etc/passwd", "", None, 5, ["a"],
        "data:image/svg+xml;base64,QUJD", "data:text/html;base64,QUJD", "data:;base64,QUJD", "data:image/png,QUJD",
        "data:image/png;charset=x;base64,QUJD", "DATA:image/png;base64,QUJD", "data:IMAGE/PNG;base64,QUJD",
        " data:image/png;base64,QUJD", PNG + "QUJ", PNG + "QUJDR===", PNG + "QUJD\n", PNG + "Q UJD", PNG + "QUJD=",
        PNG + "QUI_", PNG + "QR==", PNG + "é===", PNG + "QQ==QQ==",
    ],
)  # fmt: skip
def test_only_strict_data_urls_of_pictures(address: Any) -> None:
    error = refused(part(address))
    assert (error.code, error.param) == ("image_url", "messages[0].content[1].image_url.url")
    assert "QUJD" not in error.problem
    assert "passwd" not in error.problem


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "image_url", "image_url": PNG + "QUJD"},
        {"type": "image_url", "image_url": {"url": PNG + "QUJD", "detail": "huge"}},
        {"type": "image_url", "image_url": {"url": PNG + "QUJD", "size": 5}},
        {"type": "image_url", "image_url": {"url": PNG + "QUJD"}, "more": 1},
        {"type": "image_url"},
    ],
)
def test_a_part_holds_nothing_else(raw: dict[str, Any]) -> None:
    error = refused(raw)
    assert error.code == "invalid_parameter"
    assert (error.param or "").startswith("messages[0].content[1]")


def test_length_is_looked_at_before_it_is_decoded() -> None:
    assert refused(part(PNG + "!" * (module._MAX_ENCODED + 1))).code == "image_too_large"


@given(st.binary(max_size=60))
def test_base64_comes_back(data: bytes) -> None:
    assert sent(part(PNG + base64.b64encode(data).decode()), "x").data == data
