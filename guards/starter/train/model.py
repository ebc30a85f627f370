"""One encoder with two heads while training, two plain BERT checkpoints when shipped.

Both tasks read the same language, so they learn in one encoder and each gets its own pooler and classifier. What is
written out is `BertForSequenceClassification` with every matrix stored as float8_e4m3fn without scales: a plain
`from_pretrained` casts it back to float32. Rounding happens once, after training; what is measured is the rounded file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from guards.starter.train.recipe import CATEGORIES

LABELS: dict[str, tuple[str, ...]] = {"injection": ("benign", "attack"), "hazard": ("unsafe", *CATEGORIES)}
MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Logits:
    """What both heads say about a batch."""

    injection: Tensor
    hazard: Tensor


class Head(nn.Module):
    """Pooler and classifier as in `BertForSequenceClassification`, so that the weights carry over by name."""

    def __init__(self, hidden: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.pooler = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, labels)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, first: Tensor) -> Tensor:
        """Logits from the hidden state of the first token."""
        logits: Tensor = self.classifier(self.dropout(torch.tanh(self.pooler(first))))
        return logits


class TwoHeads(nn.Module):
    """The encoder and both heads."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.injection = Head(config.hidden_size, len(LABELS["injection"]), config.hidden_dropout_prob)
        self.hazard = Head(config.hidden_size, len(LABELS["hazard"]), config.hidden_dropout_prob)

    def forward(self, ids: Tensor, mask: Tensor) -> Logits:
        """Logits of both heads for padded token ids."""
        first = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        return Logits(self.injection(first), self.hazard(first))


def from_base(base: Path) -> TwoHeads:
    """The pretrained sentence encoder with fresh heads."""
    model = TwoHeads(BertConfig.from_pretrained(base))
    weights = load_file(base / "model.safetensors")
    kept = {name: value.float() for name, value in weights.items() if not name.startswith("pooler.")}
    kept.pop("embeddings.position_ids", None)
    missing, unexpected = model.encoder.load_state_dict(kept, strict=False)
    if unexpected or [name for name in missing if "position_ids" not in name]:
        raise ValueError(f"base encoder does not fit: missing {missing}, unexpected {unexpected}")
    for head in (model.injection, model.hazard):
        # The sentence encoder pools by the mean, so its own pooler was never trained; start near the identity instead.
        nn.init.eye_(head.pooler.weight)
        nn.init.zeros_(head.pooler.bias)
    return model


def shipped_config(config: BertConfig, task: str) -> dict[str, object]:
    """config.json of one task's checkpoint."""
    labels = LABELS[task]
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "dtype": "float32",
        "problem_type": "single_label_classification" if task == "injection" else "multi_label_classification",
        "id2label": {str(n): label for n, label in enumerate(labels)},
        "label2id": {label: n for n, label in enumerate(labels)},
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_act": config.hidden_act,
        "hidden_dropout_prob": config.hidden_dropout_prob,
        "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
        "layer_norm_eps": config.layer_norm_eps,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "vocab_size": config.vocab_size,
        "pad_token_id": config.pad_token_id,
    }


def stored(name: str, value: Tensor) -> Tensor:
    """A tensor as it is written: matrices in one byte a weight, the few vectors in two."""
    if value.dim() == 2 and not name.startswith("classifier."):
        limit = torch.finfo(torch.float8_e4m3fn).max
        return value.detach().clamp(-limit, limit).to(torch.float8_e4m3fn).contiguous()
    return value.detach().to(torch.float16).contiguous()


def export(model: TwoHeads, task: str, base: Path, out: Path) -> None:
    """Write one task's checkpoint in the Hugging Face layout."""
    out.mkdir(parents=True, exist_ok=True)
    head = model.injection if task == "injection" else model.hazard
    named = {f"bert.{name}": value for name, value in model.encoder.state_dict().items() if "position_ids" not in name}
    named |= {f"bert.pooler.dense.{name}": value for name, value in head.pooler.state_dict().items()}
    named |= {f"classifier.{name}": value for name, value in head.classifier.state_dict().items()}
    save_file({name: stored(name, value) for name, value in named.items()}, out / "model.safetensors", {"format": "pt"})
    (out / "config.json").write_text(json.dumps(shipped_config(model.config, task), indent=2) + "\n", encoding="utf-8")
    write_tokenizer(base, out)


def write_tokenizer(base: Path, out: Path) -> None:
    """The base's tokenizer without its padding and truncation: who asks decides how long a text may be."""
    tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer |= {"truncation": None, "padding": None}
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    settings = json.loads((base / "tokenizer_config.json").read_text(encoding="utf-8"))
    kept = {name: value for name, value in settings.items() if name.endswith("_token") or name.startswith("do_lower")}
    kept |= {"tokenizer_class": "BertTokenizer", "model_max_length": MAX_TOKENS}
    (out / "tokenizer_config.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
