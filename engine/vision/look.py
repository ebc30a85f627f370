"""Pictures of a request to tokens of its prompt, cheap checks first.

Tokens are counted from the heads of the files: what cannot fit into the model is refused before anything is unpacked.
Then one picture at a time is unpacked and cut, so that the memory of one bounds the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from PIL import Image

from engine.errors import BadRequest
from engine.vision.canvas import ONE, grid_for
from engine.vision.eyes import Eyes
from engine.vision.frames import frames, label
from engine.vision.picture import MAX_PIXELS, NoPicture, decode, size_of
from engine.vision.prompt import Placed
from engine.vision.sent import MAX_PICTURES, Sent
from engine.vision.tiles import cut

MAX_ALL_PIXELS = 4 * MAX_PIXELS
"""Of all pictures of a request."""

Shown: TypeAlias = tuple[list[int], Placed]
"""Tokens, and where in them the patches are."""


class Look:
    """What one model makes of the pictures of one request."""

    def __init__(self, eyes: Eyes | None, room: int) -> None:
        """`room`: positions that the model has."""
        self._eyes, self._room = eyes, room

    def check(self, pictures: Sequence[Sent]) -> None:
        """BadRequest unless all of these could be shown to the model, as far as their heads tell."""
        tokens = pixels = 0
        for number, picture in enumerate(pictures):
            eyes = self._eyes_for(picture)
            if number == MAX_PICTURES:
                told = f"`{picture.where}`: expected at most {MAX_PICTURES} images in a request"
                raise BadRequest("too_many_images", told, picture.where)
            width, height = _size(picture)
            is_one = picture.is_small or picture.is_moving
            tokens += eyes.format.size(ONE if is_one else grid_for(width, height, eyes.side))
            pixels += width * height
            if tokens > self._room:
                told = f"images up to `{picture.where}` make {tokens} tokens, this model has {self._room} positions"
                raise BadRequest("context_length_exceeded", told, picture.where)
            if pixels > MAX_ALL_PIXELS:
                told = f"`{picture.where}`: with it the images have more than {MAX_ALL_PIXELS} pixels"
                raise BadRequest("image_size", told, picture.where)

    def tokens(self, picture: Sent) -> list[str | Shown]:
        """What stands for it in a prompt: itself, or the frames of one that moves, each after its time."""
        eyes = self._eyes_for(picture)
        try:
            if picture.is_moving:
                shown = frames(picture.data, picture.kind)
                return [one for at, frame in shown for one in (label(at), _placed(eyes, frame, is_small=True))]
            return [_placed(eyes, decode(picture.data, picture.kind), picture.is_small)]
        except NoPicture as exc:
            raise _refused(exc, picture) from exc

    def between(
        self, prompt: Sequence[int], pictures: Sequence[tuple[int, Shown]]
    ) -> tuple[tuple[int, ...], tuple[Placed, ...]]:
        """Token ids with pictures before some of them, by their places in the prompt as it was, in order."""
        ids: list[int] = []
        placed: list[Placed] = []
        begin = 0
        for at, (tokens, one) in pictures:
            ids += prompt[begin:at]
            placed.append(one.moved(len(ids)))
            ids += tokens
            begin = at
        return (*ids, *prompt[begin:]), tuple(placed)

    def _eyes_for(self, picture: Sent) -> Eyes:
        if self._eyes is None:
            told = f"`{picture.where}`: this model reads text only"
            raise BadRequest("images_unsupported", told, picture.where)
        return self._eyes


def _placed(eyes: Eyes, image: Image.Image, is_small: bool) -> Shown:
    return eyes.format.place(cut(image, eyes.side, is_small))


def _size(picture: Sent) -> tuple[int, int]:
    try:
        return size_of(picture.data, picture.kind)
    except NoPicture as exc:
        raise _refused(exc, picture) from exc


def _refused(exc: NoPicture, picture: Sent) -> BadRequest:
    return BadRequest(exc.code, f"`{picture.where}`: {exc.problem}", picture.where)
