"""A picture's tokens come in the published order, and nothing that can be sent stands for a patch."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ModelRefused
from engine.tokens import TextTokenizer
from engine.vision.prompt import PictureFormat, as_tokens, stand_in
from engine.vision.tiles import cut
from tests.engine import tiny
from tests.engine.vision import seeing


@pytest.fixture
def tokenizer(tmp_path: Path) -> TextTokenizer:
    seeing.byte_pairs(tmp_path)
    return TextTokenizer.from_file(tmp_path / "tokenizer.json")


def names(tokenizer: TextTokenizer, ids: list[int]) -> str:
    """Tokens by their first letters, patches as dots."""
    short = {"image_start": "[", "image_end": "]", "tile_x_separator": "x", "tile_y_separator": "y", "image": "I"}
    return "".join("." if one < 0 else short[tokenizer.token(one)[2:-2]] for one in ids)


def test_the_order_is_tiles_by_rows_then_the_whole(tokenizer: TextTokenizer) -> None:
    form = PictureFormat(tokenizer, 2)
    wide = cut(seeing.noise(40, 30), 16)
    ids, placed = form.place(wide)
    assert names(tokenizer, ids) == "[" + "..x..x..y" * 2 + "I..]"
    assert all(ids[begin] == ids[begin + 1] == stand_in(wide.digest) for begin in placed.begins)
    assert len(placed.begins) == wide.grid.tiles == len(wide.tiles) == 7
    assert len(ids) == form.size(wide.grid)
    assert placed.moved(5).begins == tuple(begin + 5 for begin in placed.begins)


def test_a_single_tile_has_no_separators(tokenizer: TextTokenizer) -> None:
    form = PictureFormat(tokenizer, 3)
    ids, placed = form.place(cut(seeing.noise(16, 16), 16))
    assert names(tokenizer, ids) == "[I...]"
    assert placed.begins == (2,)


def test_columns_only_are_closed_by_a_row_end(tokenizer: TextTokenizer) -> None:
    ids, _ = PictureFormat(tokenizer, 1).place(cut(seeing.noise(16, 32), 16))
    assert names(tokenizer, ids) == "[.y.yI.]"


def test_patches_are_no_tokens(tokenizer: TextTokenizer) -> None:
    assert min(tokenizer.content("<|patch|><|image|>-1")) >= 0
    assert tokenizer.control("<|patch|>") not in tokenizer.content("<|patch|>")
    assert stand_in(bytes(32)) == -1
    assert as_tokens([4, stand_in(b"\xff" * 32), 0]) == [4, 0, 0]


def test_a_tokenizer_without_the_tokens_of_pictures_is_refused(tmp_path: Path) -> None:
    tiny.byte_pairs(tmp_path)
    with pytest.raises(ModelRefused, match="image_start"):
        PictureFormat(TextTokenizer.from_file(tmp_path / "tokenizer.json"), 4)
