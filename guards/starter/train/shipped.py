"""A shipped checkpoint as a function from texts to probabilities, loaded the way any stranger would load it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from guards.starter.train.scores import load_tokenizer, score_texts


@dataclass(frozen=True, slots=True)
class Shipped:
    """Model, tokenizer and labels of one folder."""

    model: torch.nn.Module
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    is_multi_label: bool

    def probabilities(self, texts: Sequence[str], most_windows: int = 8) -> Tensor:
        """One row a text, one column a label; the highest over the windows of a text."""
        return score_texts(texts, self.tokenizer, self._score, most_windows)

    def _score(self, ids: Tensor, mask: Tensor) -> Tensor:
        logits = self.model(input_ids=ids, attention_mask=mask).logits
        return logits.sigmoid() if self.is_multi_label else logits.softmax(-1)


def load(folder: Path) -> Shipped:
    """Plain `from_pretrained`: one-byte weights come back as float32."""
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    ).eval()
    labels = tuple(model.config.id2label[n] for n in range(model.config.num_labels))
    is_multi_label = model.config.problem_type == "multi_label_classification"
    return Shipped(model, load_tokenizer(folder), labels, is_multi_label)
