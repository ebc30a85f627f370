"""Tiles are what Pillow's own steps make of a picture, and the digest stands for their pixels."""

from __future__ import annotations

import torch
from PIL import Image

from engine.vision.canvas import Grid
from engine.vision.tiles import Picture, cut
from tests.engine.vision.seeing import noise

BILINEAR = Image.Resampling.BILINEAR


def image_of(tile: torch.Tensor) -> Image.Image:
    return Image.frombytes("RGB", (tile.shape[2], tile.shape[1]), bytes(tile.permute(1, 2, 0).flatten().tolist()))


def boxes(canvas: Image.Image, side: int) -> list[Image.Image]:
    """The tiles of a canvas, row by row."""
    corners = [(x, y) for y in range(0, canvas.height, side) for x in range(0, canvas.width, side)]
    return [canvas.crop((x, y, x + side, y + side)) for x, y in corners]


def same(picture: Picture, expected: list[Image.Image]) -> bool:
    return [image_of(tile).tobytes() for tile in picture.tiles] == [one.tobytes() for one in expected]


def test_a_large_picture_is_laid_out_by_rows_with_itself_at_the_end() -> None:
    image = noise(1024, 768)
    found = cut(image, 336)
    canvas = Image.new("RGB", (1344, 1008))
    canvas.paste(image)
    assert found.grid == Grid(3, 4)
    assert same(found, [*boxes(canvas, 336), image.resize((336, 336), BILINEAR)])


def test_a_picture_that_is_too_large_for_all_canvases_is_shrunk() -> None:
    image = noise(100, 40)
    found = cut(image, 16)
    canvas = Image.new("RGB", (96, 32))
    canvas.paste(image.resize((80, 32), BILINEAR))
    assert found.grid == Grid(2, 6) or found.grid == Grid(2, 5)
    canvas = canvas.crop((0, 0, found.grid.columns * 16, 32))
    assert same(found, [*boxes(canvas, 16), image.resize((16, 16), BILINEAR)])


def test_a_small_picture_is_enlarged_to_one_tile_and_stands_alone() -> None:
    image = noise(8, 4)
    canvas = Image.new("RGB", (16, 16))
    canvas.paste(image.resize((16, 8), BILINEAR))
    assert same(cut(image, 16), [canvas])


def test_low_detail_is_one_tile_undistorted() -> None:
    image = noise(64, 32)
    canvas = Image.new("RGB", (16, 16))
    canvas.paste(image.resize((16, 8), BILINEAR))
    assert same(cut(image, 16, is_small=True), [canvas])


def test_the_digest_is_of_pixels_and_layout() -> None:
    image, nearly = noise(20, 20), noise(20, 20)
    nearly.putpixel((7, 7), (0, 0, 0))
    digests = {cut(image, 16).digest, cut(nearly, 16).digest, cut(image, 16, True).digest, cut(image, 8).digest}
    assert len(digests) == 4
    assert cut(image.copy(), 16).digest in digests
