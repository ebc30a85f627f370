"""What the configuration of an encoder calls for and what the files hold are the same set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.config import read_config
from engine.errors import ModelRefused
from engine.generator import Options, load_generator
from engine.vision.weights import has_vision, load_vision
from tests.engine.vision import seeing

ENOUGH = Options(kv_bytes=10_000_000)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    seeing.llama4(tmp_path)
    return tmp_path


def changed(directory: Path, name: str, tensor: torch.Tensor | None) -> None:
    file = directory / "model.safetensors"
    tensors = load_file(file)
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("vision_model.model.layers.1.mlp.fc2.bias", None),
        ("multi_modal_projector.linear_1.weight", None),
        ("vision_model.class_embedding", torch.zeros(15)),
        ("vision_model.model.layers.2.mlp.fc1.bias", torch.zeros(64)),
        ("vision_model.layernorm_pre.weight", torch.zeros(16, dtype=torch.int64)),
    ],
)
def test_a_difference_is_a_refusal_that_names_the_tensor(
    directory: Path, name: str, tensor: torch.Tensor | None
) -> None:
    changed(directory, name, tensor)
    with pytest.raises(ModelRefused, match=name.replace(".", r"\.")) as caught:
        load_generator(directory, ENOUGH)
    assert caught.value.code == "weights_mismatch"


def test_the_text_part_on_its_own_reads_only(directory: Path) -> None:
    assert has_vision(directory)
    file = directory / "model.safetensors"
    save_file({name: one for name, one in load_file(file).items() if name.startswith("language_model.")}, file)
    assert not has_vision(directory)
    assert load_generator(directory, ENOUGH).eyes is None


def test_few_bits_are_for_the_text_model_only(directory: Path) -> None:
    config = read_config(directory)
    assert config.vision is not None
    weights = load_vision(directory, config.vision, config.hidden, torch.bfloat16)
    stored = load_file(directory / "model.safetensors")["vision_model.positional_embedding_vlm"]
    assert torch.equal(weights.places_pD, stored.to(torch.bfloat16))
    model = load_generator(directory, Options(kv_bytes=10_000_000, precision="int4"))
    assert model.eyes is not None
    assert model.eyes.features._encoder._weights.class_D.dtype == torch.bfloat16
