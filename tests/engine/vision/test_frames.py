"""A file that moves becomes a few pictures with their time, at a bounded cost."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from engine.vision.frames import MAX_FRAMES, Limits, frames, label, sampled
from engine.vision.picture import NoPicture
from tests.engine.vision.seeing import encoded, noise


def moving(count: int, ms: int, kind: str = "GIF", **options: Any) -> bytes:
    """Frames of one grey each, a little lighter from one to the next."""
    shown = [Image.new("RGB", (8, 6), (at * 3 % 250,) * 3) for at in range(count)]
    return encoded(shown[0], kind, save_all=True, append_images=shown[1:], duration=ms, **options)


@pytest.mark.parametrize(("kind", "claimed"), [("GIF", "image/gif"), ("WEBP", "image/webp"), ("PNG", "image/png")])
def test_one_frame_for_each_second(kind: str, claimed: str) -> None:
    found = list(frames(moving(10, 400, kind, **({"lossless": True} if kind == "WEBP" else {})), claimed))
    assert [round(at, 1) for at, _ in found] == [0.0, 1.2, 2.4, 3.6]
    assert [frame.getpixel((2, 2)) for _, frame in found] == [(at * 3,) * 3 for at in (0, 3, 6, 9)]


def test_a_long_one_is_sampled_evenly() -> None:
    times = [float(at) for at in range(600)]
    chosen = sampled(times)
    assert chosen == list(range(0, 600, 20))
    assert len(sampled([at / 10 for at in range(2000)])) <= MAX_FRAMES


def test_a_still_picture_is_one_frame() -> None:
    assert [at for at, _ in frames(encoded(noise(5, 5)), "image/png")] == [0.0]
    assert sampled([0.0]) == [0]
    assert sampled([0.0, 0.1, 0.2]) == [0]


def test_frames_without_a_time_take_a_tenth_of_a_second() -> None:
    assert [round(at, 1) for at, _ in frames(moving(25, 0), "image/gif")] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("limits", [Limits(frames=29), Limits(pixels=8 * 6 * 29)])
def test_what_unpacking_costs_is_bounded(limits: Limits) -> None:
    data = moving(30, 100)
    with pytest.raises(NoPicture) as caught:
        list(frames(data, "image/gif", limits))
    assert caught.value.code == "video_too_long"
    assert len(list(frames(data, "image/gif", Limits(30, 8 * 6 * 30)))) == 3


def test_a_cut_off_file_is_broken() -> None:
    data = moving(20, 500)
    with pytest.raises(NoPicture) as caught:
        list(frames(data[: len(data) * 2 // 3], "image/gif"))
    assert caught.value.code == "image_broken"


def test_times_as_a_model_reads_them() -> None:
    assert [label(one) for one in (0.0, 9.9, 61.0, 3600.0)] == ["[0:00]", "[0:09]", "[1:01]", "[60:00]"]
