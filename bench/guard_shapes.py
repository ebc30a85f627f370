"""Checkpoints of published shapes with random weights, made when a benchmark needs one: speed needs no sense.

The vocabulary is as large as the real one and made of syllables, because a tokenizer's cost and an embedding's size
depend on that and not on the words.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from pathlib import Path

from engine import manifest

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
SHAPES = {
    "22m": {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536, "vocab_size": 128_100},
    "86m": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 251_000},
}
"""Prompt Guard 2's two sizes: DeBERTa-v3-xsmall and mDeBERTa-v3-base, 12 layers both."""
SPREAD = 0.05
"""Of the random weights: wide enough that texts score differently."""


def prompt_guard(directory: Path, shape: str, seed: int = 7) -> Path:
    """A DebertaV2ForSequenceClassification with tokenizer and manifest, as its makers would ship it."""
    import torch
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = DebertaV2Config(
        **SHAPES[shape], num_hidden_layers=12, max_position_embeddings=512, relative_attention=True,
        position_buckets=256, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"],
        position_biased_input=False, type_vocab_size=0, pooler_hidden_size=SHAPES[shape]["hidden_size"],
        pooler_hidden_act="gelu", layer_norm_eps=1e-7, initializer_range=SPREAD, pad_token_id=0, num_labels=2,
    )  # fmt: skip
    DebertaV2ForSequenceClassification(config).save_pretrained(directory)
    _tokenizer(directory, SHAPES[shape]["vocab_size"] - 99, seed)
    manifest.write(directory, f"random-prompt-guard-2-{shape}", "Apache-2.0")
    return directory


def llama(directory: Path, seed: int = 7) -> Path:
    """A small LlamaForCausalLM whose head is about the same share of it as Llama Guard 3 1B's, asked with ids only."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=512, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=2, head_dim=64, max_position_embeddings=8192, initializer_range=SPREAD, rms_norm_eps=1e-5,
        bos_token_id=0, eos_token_id=1, pad_token_id=2, tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        },
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[UNK]"])
    tokenizer.save(str(directory / "tokenizer.json"))
    manifest.write(directory, "random-llama", "Apache-2.0")
    return directory


def words(count: int, seed: int = 7) -> list[str]:
    """Different words of two to four syllables."""
    syllables = ["".join(pair) for pair in itertools.product("bcdfghjklmnprstvwz", "aeiou")]
    chosen, found = random.Random(seed), {}
    while len(found) < count:
        found["".join(chosen.choices(syllables, k=chosen.choice((2, 3, 3, 4))))] = None
    return list(found)


def _tokenizer(directory: Path, size: int, seed: int) -> None:
    """Unigram over whole words and letters, with `[CLS] … [SEP]` around a text."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-", "▁"]
    pieces = [f"▁{word}" for word in words(size - len(SPECIAL) - len(letters), seed)]
    vocabulary = [(piece, 0.0) for piece in SPECIAL]
    vocabulary += [(piece, -math.log(rank + 2)) for rank, piece in enumerate(pieces)]
    vocabulary += [(letter, -20.0) for letter in letters]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL.index("[UNK]")))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(directory / "tokenizer.json"))
    stated = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    (directory / "tokenizer_config.json").write_text(json.dumps(stated | names))
