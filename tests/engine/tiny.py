"""Tiny random checkpoints, built in a temporary directory: numerics and processes need shapes, not sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from engine import manifest

LLAMA4_CONTROLS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|eom|>",
    "<|eot|>",
    "<|python_start|>",
    "<|python_end|>",
    "<|finetune_right_pad|>",
)
SAMPLE = ("the quick brown fox asks what the gate does, and the gate answers: hello world 0123456789 ",) * 4


def sealed(directory: Path, name: str = "tiny") -> Path:
    """The directory with its manifest."""
    manifest.write(directory, name, "Apache-2.0")
    return directory


def bert(directory: Path, labels: int = 2, multi_label: bool = False, seed: int = 3, layers: int = 2) -> Path:
    """A BertForSequenceClassification with a WordPiece tokenizer over characters."""
    from transformers import BertConfig, BertForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=labels,
        initializer_range=0.5,
        problem_type="multi_label_classification" if multi_label else None,
        id2label={
            index: ("unsafe" if index == 0 else f"S{index}") if multi_label else ("benign", "attack")[index % 2]
            for index in range(labels)
        },
    )
    BertForSequenceClassification(config).save_pretrained(directory)
    word_pieces(directory)
    return sealed(directory)


def word_pieces(directory: Path) -> None:
    """Characters as word pieces, with `[CLS] … [SEP]` around a text."""
    characters = [chr(code) for code in range(33, 127)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *[f"##{one}" for one in characters]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 64}))


def byte_pairs(directory: Path, size: int = 320) -> Tokenizer:
    """A byte-level BPE with Llama 4's control tokens in front, saved as tokenizer.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(LLAMA4_CONTROLS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    return tokenizer


def llama4_config(**changes: Any) -> Any:
    """Small, but with everything: chunks of 16, NoPE every fourth layer, several experts."""
    from transformers import Llama4TextConfig

    values = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 48,
        "intermediate_size_mlp": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_local_experts": 4,
        "attention_chunk_size": 16,
        "max_position_embeddings": 256,
        "floor_scale": 8,
        "initializer_range": 0.25,
        "bos_token_id": 0,
        "eos_token_id": [1, 4, 5],
        "pad_token_id": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    return Llama4TextConfig(**{**values, **changes})


def llama4(directory: Path, seed: int = 5, **changes: Any) -> Path:
    """A Llama4ForCausalLM checkpoint as transformers writes it, with tokenizer and manifest."""
    from transformers import Llama4ForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    model = Llama4ForCausalLM(llama4_config(**changes))
    model.save_pretrained(directory)
    byte_pairs(directory)
    return sealed(directory)


def oracle(directory: Path) -> Any:
    """transformers' own model of a text checkpoint."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, local_files_only=True).eval()


def dense(directory: Path, family: str = "Llama", seed: int = 7, **changes: Any) -> Any:
    """A checkpoint of a dense family with tokenizer and manifest; transformers' model of it."""
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    values = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.25,
        "bos_token_id": 0,
        "eos_token_id": [1, 4, 5],
        "pad_token_id": 8,
    }
    config = getattr(transformers, f"{family}Config")(**{**values, **changes})
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.save_pretrained(directory)
    byte_pairs(directory)
    sealed(directory)
    return model.eval()


def llama_guard4(directory: Path, seed: int = 9, **published: Any) -> Any:
    """A dense Llama 4 text part inside a multimodal checkpoint, with the values that Meta publishes for Llama Guard 4.

    transformers cannot run those; the model that comes back is told what they mean.
    """
    from safetensors.torch import save_file
    from transformers import Llama4ForCausalLM

    torch.manual_seed(seed)
    layers = {"layer_types": ["full_attention"] * 4, "attention_chunk_size": 256, "interleave_moe_layer_step": 1}
    model = Llama4ForCausalLM(llama4_config(**{**published, **layers}))
    tensors = {f"language_model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    tensors["vision_model.class_embedding"] = torch.zeros(4)
    directory.mkdir(exist_ok=True)
    save_file(tensors, directory / "model.safetensors")
    text = model.config.to_dict() | published
    del text["layer_types"]
    raw = {"architectures": ["Llama4ForConditionalGeneration"], "model_type": "llama4", "text_config": text}
    (directory / "config.json").write_text(json.dumps(raw))
    byte_pairs(directory)
    sealed(directory)
    return model.eval()
