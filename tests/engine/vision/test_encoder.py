"""Each step from a tile to its rows beside transformers' own module for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.config import read_config
from engine.vision.encoder import Encoder, in_patches, merged, turns
from engine.vision.tiles import cut
from engine.vision.weights import load_vision
from tests.engine.gpu.stepping import DEVICES
from tests.engine.vision import seeing


@pytest.mark.parametrize("device", DEVICES)
def test_rows_are_those_of_transformers(device: torch.device, tmp_path: Path) -> None:
    oracle = seeing.llama4(tmp_path)
    config = read_config(tmp_path)
    assert config.vision is not None
    encoder = Encoder(config.vision, load_vision(tmp_path, config.vision, config.hidden, torch.float32, device))
    tiles = cut(seeing.noise(40, 24), seeing.SIDE).tiles
    with torch.inference_mode():
        seen = oracle.get_image_features((tiles.float() / 255 - 0.5) / 0.5).last_hidden_state
        expected = oracle.multi_modal_projector(seen)
        found = torch.stack([encoder.see(tile) for tile in tiles]).cpu()
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_turns_are_those_of_transformers(tmp_path: Path) -> None:
    oracle = seeing.llama4(tmp_path)
    config = read_config(tmp_path).vision
    assert config is not None
    torch.testing.assert_close(turns(config), oracle.vision_model.rotary_embedding.freqs_ci[:, 0])


def test_patches_are_those_of_an_unfolding() -> None:
    pixels = torch.rand(3, 16, 16)
    expected = torch.nn.Unfold(4, stride=4)(pixels[None])[0].t()
    assert torch.equal(in_patches(pixels, 4), expected)


def test_neighbours_become_one_row() -> None:
    rows = torch.arange(16.0)[:, None]
    assert merged(rows, 4, 2).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert torch.equal(merged(rows, 4, 1), rows)
