"""Whole checkpoints in fewer bits, in the layouts that are published: the model that is meant comes out.

Each is written twice: in its form, in two files with an index, and as the plain weights that the form stands for. Both
must give the same logits, and those of the other implementation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.config import read_config
from engine.errors import ModelRefused
from engine.kv_cache import KvCache
from engine.matrix import DTYPES, LAYS, Int4
from engine.model.moe import Moe
from engine.runner import ModelRunner, Run
from engine.weights import load_weights
from tests.engine import tiny
from tests.engine.model_cases import GUARD, prompt, reserved

Tensors = dict[str, Tensor]
FP8_MOST = 448.0


def by_row(weight_oi: Tensor) -> tuple[Tensor, Tensor]:
    """Floats of eight bits and a scale for each row."""
    scale = weight_oi.abs().amax(dim=-1, keepdim=True) / FP8_MOST
    return (weight_oi / scale).to(torch.float8_e4m3fn), scale


def fp8_joined(name: str, weight: Tensor) -> tuple[Tensors, Tensors]:
    """fbgemm_fp8: experts stay joined, [e, i, o], with a scale for each output."""
    if weight.dim() == 2:
        few, scale = by_row(weight)
        return {name: few, name + "_scale": scale}, {name: few.float() * scale}
    few, scale = by_row(weight.transpose(1, 2))
    published = scale if name.endswith("down_proj") else scale.transpose(1, 2)
    meant = (few.float() * scale).transpose(1, 2).contiguous()
    return {name: few.transpose(1, 2).contiguous(), name + "_scale": published.contiguous()}, {name: meant}


def taken_apart(name: str, weight: Tensor) -> dict[str, Tensor]:
    """A linear layer as it is; joined experts as linear layers, gate and up apart."""
    if weight.dim() == 2:
        return {name: weight}
    stem, kind = name.rsplit(".", 1)
    parts = ("gate_proj", "up_proj") if kind == "gate_up_proj" else ("down_proj",)
    return {
        f"{stem}.{expert}.{part}.weight": piece.t().contiguous()
        for expert, one in enumerate(weight)
        for part, piece in zip(parts, one.chunk(len(parts), dim=1), strict=True)
    }


def fp8_apart(name: str, weight: Tensor) -> tuple[Tensors, Tensors]:
    """compressed-tensors float-quantized: experts are linear layers; a scale of the activations lies beside."""
    held: Tensors = {}
    meant: Tensors = {}
    for one, matrix in taken_apart(name, weight).items():
        few, scale = by_row(matrix)
        held |= {one: few, one + "_scale": scale.bfloat16(), one.replace(".weight", ".input_scale"): torch.ones(1)}
        meant[one] = few.float() * scale.bfloat16().float()
    return held, meant


def four_bits(name: str, weight: Tensor) -> tuple[Tensors, Tensors]:
    """compressed-tensors pack-quantized, as W4A16 is published, with smaller groups."""
    held: Tensors = {}
    meant: Tensors = {}
    for one, matrix in taken_apart(name, weight).items():
        grouped = matrix.view(matrix.shape[0], -1, 32 if matrix.shape[1] % 32 == 0 else 16)
        scale = (grouped.abs().amax(dim=2, keepdim=True) / 7.5).bfloat16().float()
        whole = (grouped / scale).round().clamp(-8, 7)
        nibbles = (whole.view(matrix.shape[0], -1, 8) + 8).long()
        words = (nibbles << torch.arange(0, 32, 4)).sum(dim=2)
        held |= {
            one + "_packed": torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32),
            one + "_scale": scale.squeeze(2).bfloat16(),
            one + "_shape": torch.tensor(matrix.shape),
        }
        meant[one] = (whole * scale).view_as(matrix)
    return held, meant


FORMS: dict[str, tuple[Callable[[str, Tensor], tuple[Tensors, Tensors]], dict[str, Any]]] = {
    "fbgemm_fp8": (fp8_joined, {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}),
    "float-quantized": (fp8_apart, {"quant_method": "compressed-tensors", "format": "float-quantized"}),
    "pack-quantized": (
        four_bits,
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"format": "pack-quantized"}}},
    ),
}


def is_reduced(name: str, tensor: Tensor) -> bool:
    return tensor.dim() >= 2 and not any(part in name for part in ("embed", "lm_head", "router"))


def written(source: Path, directory: Path, form: str) -> tuple[Path, Path]:
    """The checkpoint in its form, and the plain one that it stands for."""
    reduce, config = FORMS[form]
    held: Tensors = {}
    meant: Tensors = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        few, plain = reduce(name, tensor) if is_reduced(name, tensor) else ({name: tensor}, {name: tensor})
        held, meant = held | few, meant | plain
    raw = json.loads((source / "config.json").read_text())
    places = [directory / "held", directory / "meant"]
    for place, tensors, changed in zip(
        places, (held, meant), (raw | {"quantization_config": config}, raw), strict=True
    ):
        place.mkdir()
        (place / "config.json").write_text(json.dumps(changed))
        names = sorted(tensors)
        shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        for file, own in shards.items():
            save_file({name: tensors[name].contiguous() for name in own}, place / file)
        index = {name: file for file, own in shards.items() for name in own}
        (place / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return places[0], places[1]


def logits(directory: Path, precision: str = "fp32") -> Tensor:
    config = read_config(directory)
    runner = ModelRunner(config, load_weights(directory, config, DTYPES[precision], LAYS[precision]))
    slot = reserved(KvCache(config, 64, DTYPES[precision]), 40)
    return runner.step([Run(slot, prompt(40), range(40))])


def source(directory: Path, shape: str) -> Path:
    if shape == "guard":
        tiny.llama_guard4(directory, **GUARD)
    elif shape == "llama":
        tiny.dense(directory)
    else:
        tiny.llama4(
            directory, **({"use_qk_norm": False, "interleave_moe_layer_step": 2} if shape == "maverick" else {})
        )
    return directory


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", ["scout", "maverick", "guard", "llama"])
def test_a_published_layout_is_the_model_that_it_stands_for(tmp_path: Path, form: str, shape: str) -> None:
    held, meant = written(source(tmp_path / "source", shape), tmp_path, form)
    found = logits(held)
    torch.testing.assert_close(found, logits(meant), atol=1e-5, rtol=0)
    if shape != "guard" and form == "fbgemm_fp8":  # the layout that transformers knows as it is
        with torch.inference_mode():
            expected = tiny.oracle(meant)(torch.tensor([prompt(40)])).logits[0]
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


def test_four_bits_that_were_published_are_kept_in_four_bits(tmp_path: Path) -> None:
    """Rounded a second time on another grid they would be as far off again as the first time."""
    shape = {"hidden_size": 64, "intermediate_size": 64, "head_dim": 16}
    held, _ = written(tiny.llama4(tmp_path / "source", **shape), tmp_path, "pack-quantized")
    exact, found = logits(held), logits(held, "int4")
    weights = load_weights(held, read_config(held), torch.bfloat16, LAYS["int4"])
    part = weights.layers[0].feed_forward
    assert isinstance(part, Moe)
    assert isinstance(part.shared.gate_up, Int4)
    off, bf16 = ((one - exact).square().mean() for one in (found, logits(held, "bf16")))
    assert off < 4 * bf16


def test_a_scale_that_nothing_calls_for_is_refused(tmp_path: Path) -> None:
    held, _ = written(source(tmp_path / "source", "scout"), tmp_path, "fbgemm_fp8")
    tensors = load_file(held / "a.safetensors")
    save_file(tensors | {"model.layers.0.self_attn.q_proj.weight_scales": torch.ones(1)}, held / "a.safetensors")
    with pytest.raises(ModelRefused) as caught:
        logits(held)
    assert "weight_scales" in caught.value.problem
