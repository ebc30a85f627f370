"""What a part with a picture may be, before anyone looks into it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.wire_picture import picture

URL = "data:image/png;base64,iVBORw0KGgo="


def test_a_part_is_passed_on_as_it_is() -> None:
    for kind in ("image_url", "video_url"):
        part: dict[str, Any] = {"type": kind, kind: {"url": URL, "detail": "low"}}
        assert picture(part, kind, "x") == part
    assert picture({"type": "image_url", "image_url": {"url": URL}}, "image_url", "x")["image_url"] == {"url": URL}


def test_the_most_detail_is_what_servers_call_high() -> None:
    part = {"type": "image_url", "image_url": {"url": URL, "detail": "original"}, "prompt_cache_breakpoint": {}}
    assert picture(part, "image_url", "x") == {"type": "image_url", "image_url": {"url": URL, "detail": "high"}}


@pytest.mark.parametrize(
    ("shown", "param"),
    [
        ({"url": "https://example.org/a.png"}, "x.image_url.url"),
        ({"url": "data:image/svg+xml;base64,QUJD"}, "x.image_url.url"),
        ({"url": "data:image/png;base64,"}, "x.image_url.url"),
        ({"url": "data:image/png;base64,QU JD"}, "x.image_url.url"),
        ({"url": 5}, "x.image_url.url"),
        ({}, "x.image_url.url"),
        ({"url": URL, "detail": "sharp"}, "x.image_url.detail"),
        (URL, "x.image_url"),
    ],
)
def test_anything_else_is_refused_by_its_field(shown: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        picture({"type": "image_url", "image_url": shown}, "image_url", "x")
    assert caught.value.param == param
    assert "example" not in caught.value.message


def test_other_keys_are_refused() -> None:
    for part in (
        {"type": "image_url", "image_url": {"url": URL, "name": "n"}},
        {"type": "image_url", "image_url": {"url": URL}, "uuid": "u"},
    ):
        with pytest.raises(BadRequest) as caught:
            picture(part, "image_url", "x")
        assert caught.value.code == "unknown_field"
