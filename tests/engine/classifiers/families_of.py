"""Tiny random classifiers of every family, in memory or as a checkpoint, and texts of ids to give them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.engine import tiny

VOCABULARY = 120
LENGTHS = (1, 2, 5, 16, 17, 31, 33, 48, 50, 64)


def texts(lengths: Sequence[int] = LENGTHS, seed: int = 1) -> list[list[int]]:
    """Ids that are no padding."""
    chosen = random.Random(seed)
    return [[chosen.randrange(5, VOCABULARY) for _ in range(length)] for length in lengths]


def deberta(seed: int = 3, **changes: Any) -> Any:
    """Prompt Guard 2's shape, tiny: shared projections, both position terms, buckets."""
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    values: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 512, "relative_attention": True, "position_buckets": 16,
        "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False,
        "type_vocab_size": 0, "pooler_hidden_size": 32, "initializer_range": 0.3, "pad_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(seed)
    return DebertaV2ForSequenceClassification(DebertaV2Config(**{**values, **changes})).eval()


def of(family: str, seed: int = 3, **changes: Any) -> Any:
    """A classifier of `bert`, `roberta`, `xlm-roberta`, `distilbert`, `modernbert` or `llama`."""
    import transformers

    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 66, "initializer_range": 0.3,
    }  # fmt: skip
    if family == "distilbert":
        sizes = {
            "vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64,
            "max_position_embeddings": 66, "initializer_range": 0.3,
        }  # fmt: skip
    kinds = {
        "bert": (transformers.BertConfig, transformers.BertForSequenceClassification, {}),
        "roberta": (transformers.RobertaConfig, transformers.RobertaForSequenceClassification, {"pad_token_id": 1}),
        "xlm-roberta": (
            transformers.XLMRobertaConfig,
            transformers.XLMRobertaForSequenceClassification,
            {"pad_token_id": 1},
        ),
        "distilbert": (transformers.DistilBertConfig, transformers.DistilBertForSequenceClassification, {}),
        "modernbert": (
            transformers.ModernBertConfig,
            transformers.ModernBertForSequenceClassification,
            {"pad_token_id": 0, "local_attention": 8, "bos_token_id": 1, "eos_token_id": 2,
             "cls_token_id": 1, "sep_token_id": 2},
        ),
        "llama": (
            transformers.LlamaConfig,
            transformers.LlamaForSequenceClassification,
            {"pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2},
        ),
    }  # fmt: skip
    config, model, extra = kinds[family]
    return model(config(**{**sizes, **extra, **changes})).eval()


def logits(model: Any, batch: Sequence[Sequence[int]]) -> torch.Tensor:
    """By transformers' own forward, one text at a time."""
    with torch.inference_mode():
        return torch.cat([model(torch.tensor([list(ids)])).logits for ids in batch])


def saved(model: Any, directory: Path, stated: int | None = None) -> Path:
    """A checkpoint with a tokenizer of the right size and a manifest."""
    from tokenizers import Tokenizer, models
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(directory)
    words = {f"w{index}": index for index in range(VOCABULARY)}
    Tokenizer(models.WordLevel(words, unk_token="w4")).save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"model_max_length": stated} if stated else {}))
    return tiny.sealed(directory)
