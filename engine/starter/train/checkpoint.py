"""Writes a trained model as a Hugging Face checkpoint with float8 matrices and a manifest.

Weights are stored as float8_e4m3fn values without scales: a loader that casts to the configuration's dtype reads
them right, at one byte a weight. Norms and routers keep float32. Tensor names and shapes are those of
`Llama4ForCausalLM.save_pretrained`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import Llama4ForCausalLM

from engine.manifest import write
from engine.starter.train.architecture import matrices
from engine.starter.train.corpus import HERE

NAME, LICENSE = "gatehouse-starter", "Apache-2.0"


def save(model: Llama4ForCausalLM, tokenizer: Tokenizer, out: Path) -> None:
    """Everything but the model card, which `card.py` writes from measurements; then the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    stored = set(matrices(model))
    tensors = {
        name: value.detach().to(torch.float8_e4m3fn if name in stored else torch.float32).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_dict()
    config.pop("transformers_version", None)
    config.pop("_name_or_path", None)
    (out / "model.safetensors").chmod(0o644)
    write_json(out / "config.json", {**config, "architectures": ["Llama4ForCausalLM"], "dtype": "float32"})
    write_json(out / "generation_config.json", generation(model))
    write_json(out / "tokenizer_config.json", tokenizer_config(model.config.max_position_embeddings))
    save_tokenizer(tokenizer, out / "tokenizer.json")
    shutil.copyfile(HERE / "chat_template.jinja", out / "chat_template.jinja")
    write(out, NAME, LICENSE)


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """One line of JSON would be smaller; this one can be read in a diff."""
    write_json(path, json.loads(tokenizer.to_str()))


def generation(model: Llama4ForCausalLM) -> dict[str, object]:
    """Greedy: the starter was measured that way, and sampling only makes it worse."""
    ids = {key: getattr(model.config, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return {**ids, "do_sample": False, "max_new_tokens": 128}


def tokenizer_config(max_length: int) -> dict[str, object]:
    """Read by transformers; the host needs tokenizer.json alone."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot|>",
        "pad_token": "<|finetune_right_pad|>",
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
    }


def write_json(path: Path, value: object) -> None:
    """Sorted keys, so that two runs differ only where they differ."""
    path.write_text(json.dumps(value, indent=1, sort_keys=path.name != "tokenizer.json", ensure_ascii=False) + "\n")
