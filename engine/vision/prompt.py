"""The tokens of a prompt that a picture becomes, and what stands for its patches among them.

A patch has no token of its own: what the model reads there are rows that its encoder made. In a prompt it is a number
below zero, made of the picture's digest. No text and no list of ids that anyone sends can hold such a number, so
nothing that a user writes is ever taken for a patch; and since beginnings of prompts are compared number by number,
keys and values are shared between equal pictures only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import ModelRefused
from engine.tokens import TextTokenizer
from engine.vision.canvas import Grid
from engine.vision.tiles import Picture


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A picture in a prompt: where the patches of each of its tiles begin."""

    picture: Picture
    begins: tuple[int, ...]

    def moved(self, by: int) -> Placed:
        """The same behind `by` more tokens."""
        return Placed(self.picture, tuple(begin + by for begin in self.begins))


class PictureFormat:
    """Lays pictures out for one tokenizer."""

    def __init__(self, tokenizer: TextTokenizer, patches: int) -> None:
        """`patches`: tokens of one tile."""
        self._start, self._end = _control(tokenizer, "image_start"), _control(tokenizer, "image_end")
        self._x, self._y = _control(tokenizer, "tile_x_separator"), _control(tokenizer, "tile_y_separator")
        self._whole, self._patches = _control(tokenizer, "image"), patches

    def size(self, grid: Grid) -> int:
        """Tokens that such a picture becomes."""
        return grid.tokens(self._patches)

    def place(self, picture: Picture) -> tuple[list[int], Placed]:
        """The tokens, and where in them the patches are."""
        ids, begins, grid = [self._start], list[int](), picture.grid
        patches = [stand_in(picture.digest)] * self._patches
        for tile in range(grid.area if grid.area > 1 else 0):
            begins.append(len(ids))
            ids += [*patches, self._y if (tile + 1) % grid.columns == 0 else self._x]
        ids.append(self._whole)
        begins.append(len(ids))
        return [*ids, *patches, self._end], Placed(picture, tuple(begins))


def stand_in(digest: bytes) -> int:
    """A number below zero for a picture."""
    return -1 - int.from_bytes(digest, "big")


def as_tokens(ids: Sequence[int]) -> list[int]:
    """Ids that an embedding has: for patches any will do, because their rows are put in place afterwards."""
    return [max(token, 0) for token in ids]


def _control(tokenizer: TextTokenizer, name: str) -> int:
    token = tokenizer.control(f"<|{name}|>")
    if token is None:
        raise ModelRefused("tokenizer_invalid", f"the tokenizer has no control token `<|{name}|>`, the model sees")
    return token
