"""Sequence classifiers: token ids in, probabilities out.

Any checkpoint of an AutoModelForSequenceClassification class is served by transformers' own code, offline, from
safetensors. A checkpoint whose head is missing would load with random weights and judge by chance, so missing,
unexpected or mismatched tensors refuse the directory. Scores that are not finite are errors, never a verdict.
Where the processor has bf16, the layers run in it if that keeps the probabilities of fixed probes; else in fp32.
Nothing here sees text, and no id is cut off: too long is the caller's error.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from engine.errors import ModelRefused, StepFailed
from engine.reduced import has_fast_bf16, reduce_layers

Checkpoint: TypeAlias = Any
"""transformers' own objects carry no types."""
PROBE_LENGTHS = (4, 16, 48, 96)
MAX_DRIFT = 0.02
"""Largest change of a probe's probability that `auto` accepts of bf16. Beyond it the fp32 layers stay."""


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
    """One loaded checkpoint. Called from the engine thread only."""

    def __init__(self, model: nn.Module, info: ClassifierInfo, pad_id: int) -> None:
        self._model, self.info, self._pad_id = model, info, pad_id

    def probabilities(self, batch: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """One tuple per input, in order; softmax over labels, or a sigmoid for each when the labels are independent."""
        with torch.inference_mode():
            scores = _scores(self._model(**self._tensors(batch)).logits, self.info.multi_label)
        if not torch.isfinite(scores).all():
            raise StepFailed("not_finite", "the classifier's scores are not finite numbers")
        return [tuple(row) for row in scores.tolist()]

    def _tensors(self, batch: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        lengths = [len(ids) for ids in batch]
        longest = max(lengths)
        padded = [[*ids, *[self._pad_id] * (longest - len(ids))] for ids in batch]
        mask = torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
        return {"input_ids": torch.tensor(padded), "attention_mask": mask.long()}


def load_classifier(directory: Path, precision: str = "auto") -> Classifier:
    """Read a verified directory. ModelRefused when it is not a whole sequence classifier."""
    model = _from_checkpoint(directory)
    config = model.config
    multi_label = config.problem_type == "multi_label_classification"
    limit = _max_tokens(directory, config)
    chosen, name = _choose(model, multi_label, precision, limit, has_fast_bf16())
    info = ClassifierInfo(
        labels=tuple(str(config.id2label[index]) for index in range(config.num_labels)),
        multi_label=multi_label,
        max_tokens=limit,
        vocabulary=int(config.vocab_size),
        precision=name,
    )
    return Classifier(chosen, info, pad_id=config.pad_token_id or 0)


def _from_checkpoint(directory: Path) -> Checkpoint:
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
    return model.eval()


def _max_tokens(directory: Path, config: Checkpoint) -> int:
    """The smaller of what the model has positions for and what its tokenizer states."""
    limit = int(config.max_position_embeddings)
    path = directory / "tokenizer_config.json"
    stated = json.loads(path.read_text(encoding="utf-8")).get("model_max_length") if path.exists() else None
    return min(limit, int(stated)) if stated else limit


def _choose(model: Checkpoint, multi_label: bool, precision: str, limit: int, fast_bf16: bool) -> tuple[nn.Module, str]:
    """The layers to serve with, and their name. What was asked for is taken; `auto` has to earn its place on probes."""
    if precision == "fp32" or (precision == "auto" and not fast_bf16):
        return model, "fp32"
    kind = "bf16" if precision == "auto" else precision
    candidate = copy.deepcopy(model)
    reduce_layers(candidate, kind)
    probes = _probes(int(model.config.vocab_size), limit)
    drift = max(_drift(model, candidate, ids, multi_label) for ids in probes)
    if precision == "auto" and drift > MAX_DRIFT:
        return model, "fp32"
    return candidate, kind


def _probes(vocabulary: int, limit: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(20)
    lengths = [min(length, limit) for length in PROBE_LENGTHS]
    return [torch.randint(0, vocabulary, (1, length), generator=generator) for length in lengths]


def _drift(model: nn.Module, candidate: nn.Module, ids: Tensor, multi_label: bool) -> float:
    with torch.inference_mode():
        before = _scores(model(input_ids=ids).logits, multi_label)
        after = _scores(candidate(input_ids=ids).logits, multi_label)
    return float((before - after).abs().max())


def _scores(logits: Tensor, multi_label: bool) -> Tensor:
    return logits.float().sigmoid() if multi_label else logits.float().softmax(dim=-1)
