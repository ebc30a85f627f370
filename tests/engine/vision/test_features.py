"""A tile is looked at once, when a prompt reaches it, and its rows land where its patches stand."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.vision.canvas import Grid
from engine.vision.features import Features
from engine.vision.prompt import Placed
from engine.vision.tiles import Picture

PATCHES = 3


class Numbering:
    """Rows that name their tile."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def see(self, pixels: Tensor) -> Tensor:
        number = int(pixels)
        self.asked.append(number)
        return torch.tensor([[10.0 * number + row] for row in range(PATCHES)])


def picture(*numbers: int) -> Picture:
    return Picture(Grid(1, len(numbers)), torch.tensor(numbers), bytes([numbers[0]]) * 32)


def told(features: Features, placed: list[Placed], start: int, end: int) -> dict[int, list[float]]:
    return {at: rows.flatten().tolist() for at, rows in features.rows(placed, start, end)}


def test_rows_of_the_patches_in_a_piece() -> None:
    features = Features(Numbering(), PATCHES)
    placed = [Placed(picture(1, 2), (2, 6)), Placed(picture(3), (12,))]
    assert told(features, placed, 0, 2) == {}
    assert told(features, placed, 0, 4) == {2: [10, 11]}
    assert told(features, placed, 4, 9) == {4: [12], 6: [20, 21, 22]}
    assert told(features, placed, 7, 8) == {7: [21]}
    assert told(features, placed, 9, 12) == {}
    assert told(features, placed, 0, 20) == {2: [10, 11, 12], 6: [20, 21, 22], 12: [30, 31, 32]}


def test_a_tile_is_looked_at_once_and_only_when_it_is_needed() -> None:
    eye = Numbering()
    features = Features(eye, PATCHES)
    placed = [Placed(picture(1, 2), (2, 6))]
    for at in range(6):
        told(features, placed, at, at + 1)
    assert eye.asked == [1]
    told(features, [placed[0].moved(9)], 0, 40)
    assert (eye.asked, features.seen) == ([1, 2], 2)


def test_no_more_is_kept_than_stated_and_the_longest_unused_goes_first() -> None:
    eye = Numbering()
    one = torch.zeros(PATCHES, 1).nbytes
    features = Features(eye, PATCHES, kept_bytes=2 * one)
    for number in (1, 2, 1, 3, 1, 2):
        told(features, [Placed(picture(number), (0,))], 0, 1)
    assert eye.asked == [1, 2, 3, 2]
    assert features.kept == 2 * one


def test_what_is_larger_than_the_room_is_kept_until_the_next_comes() -> None:
    eye = Numbering()
    features = Features(eye, PATCHES, kept_bytes=1)
    for number in (1, 1, 2, 1):
        told(features, [Placed(picture(number), (0,))], 0, 1)
    assert eye.asked == [1, 2, 1]
