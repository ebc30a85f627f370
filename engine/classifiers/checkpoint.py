"""A verified directory to transformers' own classifier, or ModelRefused with what is wrong with it.

A checkpoint whose head is missing would load with random weights and judge by chance, so missing, unexpected and
mismatched tensors refuse the directory. So does a tokenizer that is not this model's: its ids would be looked up in
another vocabulary's table, and every verdict would be about a text nobody wrote. Nothing is looked up on a network,
no code of the checkpoint's runs, and weights come from safetensors only, told by their content.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from engine import manifest
from engine.config_shared import read_object
from engine.errors import ModelRefused
from engine.stated import Stated

Checkpoint: TypeAlias = Any
"""transformers' own objects carry no types."""
SPARE_ROWS = 1024
SPARE_SHARE = 0.05
"""Embeddings are padded to round numbers: up to this many rows, or this share of them, may have no token."""


def load_checkpoint(directory: Path) -> Checkpoint:
    """The model in fp32, in evaluation mode."""
    refuse_unsafe(directory)
    # Both have to be set before the first import of transformers: no name is looked up anywhere but on this disk.
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
            directory,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
        )
    # transformers raises what it likes for a broken checkpoint; all of it means that the directory cannot be served.
    except Exception as exc:
        raise ModelRefused("weights_mismatch", f"`{directory}` did not load as a sequence classifier") from exc
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if names := sorted(str(name) for name in loaded.get(problem) or ()):
            told = problem.replace("_", " ")
            raise ModelRefused("weights_mismatch", f"`{directory}` has {told}: {', '.join(names[:5])}")
    _compare_tokenizer(directory, embedding_rows(model))
    return model.eval()


def refuse_unsafe(directory: Path) -> None:
    """What the manifest refuses, too: this is for whoever loads a directory without one."""
    weights = sorted(directory.glob("*.safetensors"))
    if not weights:
        raise ModelRefused("weights_unsafe", f"`{directory}` has no *.safetensors; other formats are not read")
    for path in weights:
        manifest.check_header(path)
    for path in sorted(directory.glob("*config.json")):
        if b'"auto_map"' in path.read_bytes():
            raise ModelRefused("remote_code", f"`{path}` has `auto_map`, which loads code from the model")


def embedding_rows(model: Checkpoint) -> int:
    """The ids that the model can look up: its table's rows, whatever its configuration says."""
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (NotImplementedError, AttributeError) as exc:
        told = f"`{type(model).__name__}` has no table of token embeddings: it does not read token ids alone"
        raise ModelRefused("model_unsupported", told) from exc


def max_tokens(directory: Path, model: Checkpoint) -> int:
    """The smallest of what the model has positions for and what its configuration and its tokenizer state."""
    limits = []
    stated = getattr(model.config, "max_position_embeddings", None)
    if stated is not None:
        limits.append(int(stated))
    for name, module in model.named_modules():
        # RoBERTa's kind counts from behind the padding id, so the first rows of its table belong to no token.
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)
    if (path := directory / "tokenizer_config.json").exists():
        stated = Stated(read_object(path)).number("model_max_length", 0, 0)
        # Tokenizers without a limit state 10^30.
        limits += [int(stated)] if stated else []
    if not limits:
        raise ModelRefused("config_invalid", f"`{directory}` states no longest input; `model_max_length` would")
    return min(limits)


def _compare_tokenizer(directory: Path, rows: int) -> None:
    path = directory / "tokenizer.json"
    if not path.exists():
        return
    from tokenizers import Tokenizer

    try:
        ids = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True).values()
    # The tokenizers package raises plain Exception for a file that it cannot read; its panics are not even that.
    except BaseException as exc:
        raise ModelRefused("tokenizer_invalid", f"`{path}` is not a tokenizer.json that can be read") from exc
    needed = max(ids, default=-1) + 1
    spare = max(SPARE_ROWS, round(rows * SPARE_SHARE))
    if not rows - spare <= needed <= rows:
        told = f"`{path}` has token ids up to {needed - 1}, the model has {rows} embeddings: not its tokenizer"
        raise ModelRefused("tokenizer_mismatch", told)
