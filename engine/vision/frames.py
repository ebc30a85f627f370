"""A file that moves as a few still pictures with their time: no model here has another way to see a video.

At most one frame for each second and MAX_FRAMES in all, at even distances from the first on. What unpacking may cost
is bounded by frames and pixels, not by what the file claims of itself. Animated GIF, WebP and PNG; no video codec.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image

from engine.vision.picture import MAX_PIXELS, NoPicture, as_seen, check_size, opened

MAX_FRAMES: Final = 32
USUAL_MS: Final = 100
"""A frame that states no time is shown for so long, as viewers do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of what is unpacked, shown or not."""

    frames: int = 2_000
    pixels: int = 8 * MAX_PIXELS
    """Of all frames together."""


USUAL: Final = Limits()


def frames(data: bytes, claimed: str, limits: Limits = USUAL) -> Iterator[tuple[float, Image.Image]]:
    """(seconds from the beginning, picture), one at a time in memory. Raises NoPicture."""
    times = list(_times(data, claimed, limits))
    chosen = sampled(times)
    with opened(data, claimed) as image:
        for at in chosen:
            image.seek(at)
            check_size(*image.size)
            yield times[at], as_seen(image)


def sampled(times: list[float]) -> list[int]:
    """Which frames are shown: the first at or after each even step, each once."""
    step = max(1.0, times[-1] / (MAX_FRAMES - 1))
    chosen = [0]
    for at, time in enumerate(times):
        if time >= times[chosen[-1]] + step and len(chosen) < MAX_FRAMES:
            chosen.append(at)
    return chosen


def label(seconds: float) -> str:
    """The time of a frame as the model reads it."""
    return f"[{int(seconds) // 60}:{int(seconds) % 60:02}]"


def _times(data: bytes, claimed: str, limits: Limits) -> Iterator[float]:
    """When each frame begins."""
    now_ms, pixels = 0.0, 0
    with opened(data, claimed) as image:
        for at in range(limits.frames + 1):
            try:
                image.seek(at)
            except EOFError:
                return
            image.load()
            pixels += image.width * image.height
            if at == limits.frames or pixels > limits.pixels:
                told = f"the video has more than {limits.frames} frames or {limits.pixels} pixels in all"
                raise NoPicture("video_too_long", told)
            yield now_ms / 1000
            stated = image.info.get("duration", 0)
            now_ms += stated if isinstance(stated, int | float) and stated > 0 else USUAL_MS
