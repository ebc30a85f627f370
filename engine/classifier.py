"""Sequence classifiers: token ids in, probabilities out.

Any checkpoint of an AutoModelForSequenceClassification class is served, offline, from safetensors; what may refuse
one is in engine/classifiers/checkpoint.py, and what computes it in engine/classifiers/choose.py. Scores that are not
finite are errors, never a verdict, and memory that does not suffice is an error of that batch alone.
Nothing here sees text, and no id is cut off: too long is the caller's error. DeBERTa, for one, would read on behind
its last trained position without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.classifiers.checkpoint import embedding_rows, load_checkpoint, max_tokens
from engine.classifiers.choose import Forward, choose
from engine.device import CPU, THIS, missing
from engine.errors import BadRequest, StepFailed
from engine.memory import enough_memory

CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 256, 16_384
"""Tokens of a batch, padding included. On a CPU more cost as much per token, and others wait longer."""
ALONE = 1
"""As a budget: every text is a batch of its own."""


@dataclass(frozen=True, slots=True)
class ClassifierInfo:
    """What the wire needs to know of a classifier."""

    labels: tuple[str, ...]
    multi_label: bool
    max_tokens: int
    vocabulary: int
    precision: str
    """`bf16`, `fp32` or `int8`: part of what makes a score repeatable."""


class Classifier:
    """One loaded checkpoint. If it packs, several engine threads may call it at once: a pass changes nothing."""

    def __init__(self, forward: Forward, info: ClassifierInfo, batch_tokens: int = CPU_BATCH_TOKENS) -> None:
        self._forward, self.info, self.batch_tokens = forward, info, batch_tokens

    @property
    def packs(self) -> bool:
        """Whether texts of any lengths share a batch without padding each other."""
        return self._forward.packs

    def probabilities(self, batch: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """One tuple per input, in order; softmax over labels, or a sigmoid for each when the labels are independent."""
        self._check(batch)
        with torch.inference_mode(), enough_memory("there was not enough memory for this batch"):
            scores = _scores(self._forward.logits(batch), self.info.multi_label).cpu()
        if not torch.isfinite(scores).all():
            raise StepFailed("not_finite", "the classifier's scores are not finite numbers")
        return [tuple(row) for row in scores.tolist()]

    def _check(self, batch: Sequence[Sequence[int]]) -> None:
        longest, shortest = max(map(len, batch)), min(map(len, batch))
        if not 1 <= shortest <= longest <= self.info.max_tokens:
            told = f"an input has {longest} tokens, this model takes 1 to {self.info.max_tokens}"
            raise BadRequest("context_length_exceeded", told, "input")


def load_classifier(
    directory: Path, precision: str = "auto", is_deterministic: bool = False, device: str = "auto"
) -> Classifier:
    """Read a verified directory. ModelRefused when it is not a whole sequence classifier.

    `is_deterministic` is for replays: each text is judged alone, so its score is the same to the last bit each time.
    """
    model = load_checkpoint(directory)
    config = model.config
    gpu = None if device == "cpu" else THIS.gpu()
    if gpu is None and device == "cuda":
        raise missing()
    model.to(gpu or CPU)
    multi_label = config.problem_type == "multi_label_classification"
    limit = max_tokens(directory, model)
    forward, name = choose(model, precision, limit, lambda logits: _scores(logits, multi_label))
    info = ClassifierInfo(
        labels=tuple(str(config.id2label[index]) for index in range(config.num_labels)),
        multi_label=multi_label,
        max_tokens=limit,
        vocabulary=embedding_rows(model),
        precision=name,
    )
    together = GPU_BATCH_TOKENS if gpu else CPU_BATCH_TOKENS
    return Classifier(forward, info, ALONE if is_deterministic else together)


def _scores(logits: Tensor, multi_label: bool) -> Tensor:
    return logits.float().sigmoid() if multi_label else logits.float().softmax(dim=-1)
