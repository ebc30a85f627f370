"""Small random adapters in PEFT's layout, and the model that they stand for: the base with them added in, in fp32."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine import manifest
from engine.adapter_config import NAME
from engine.adapters import FILE, PREFIX

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ATTENTION = ALL[:4]


def write(
    directory: Path,
    base: Any,
    targets: tuple[str, ...] = ALL,
    rank: int = 4,
    alpha: float = 6.0,
    seed: int = 1,
    prefix: str = "",
    **stated: Any,
) -> Path:
    """For the modules of `base`, transformers' model; `prefix` where their names have one in the checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, module in base.named_modules():
        if name.rpartition(".")[2] in targets:
            r = stated.get("rank_pattern", {}).get(name.rpartition(".")[2], rank)
            shapes = {"A": (r, module.in_features), "B": (module.out_features, r)}
            for side, shape in shapes.items():
                tensors[f"{PREFIX}{prefix}{name}.lora_{side}.weight"] = torch.randn(shape, generator=generator) * 0.3
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": list(targets), "bias": "none"}
    return sealed(directory, tensors, {**config, **stated})


def sealed(directory: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> Path:
    directory.mkdir(exist_ok=True, parents=True)
    save_file(tensors, directory / FILE)
    (directory / NAME).write_text(json.dumps(config))
    manifest.write(directory, "adapter", "Apache-2.0")
    return directory


def tensors_of(directory: Path) -> dict[str, Tensor]:
    return load_file(directory / FILE)


def config_of(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / NAME).read_text())
    return found


def merged(base: Any, directory: Path, prefix: str = "", factor: float | None = None) -> Any:
    """A copy of transformers' model with W + factor · B · A in place of each W."""
    model, stated, tensors = copy.deepcopy(base), config_of(directory), tensors_of(directory)
    for name, module in model.named_modules():
        down = tensors.get(f"{PREFIX}{prefix}{name}.lora_A.weight")
        if down is not None:
            up = tensors[f"{PREFIX}{prefix}{name}.lora_B.weight"]
            scale = stated["lora_alpha"] / stated["r"] if factor is None else factor
            module.weight.data += scale * up @ down
    return model
