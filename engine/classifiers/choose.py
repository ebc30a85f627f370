"""Which forward serves a classifier: the fastest that is proven to give the checkpoint's own probabilities.

The measure is transformers' own eager forward, one text at a time, in fp32, on fixed probes. A forward of ours has to
come within 1e-5 of it or is not used, which is logged and costs speed only. Fewer bits are another matter: they
change scores, and `auto` takes them where no probe moves by more than a stated bound; what was asked for by name is
taken as it is. Probabilities that are no numbers refuse the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from engine.classifiers.families import read
from engine.classifiers.padded import padded
from engine.errors import ModelRefused
from engine.logs import log
from engine.reduced import has_fast_bf16

Checkpoint: TypeAlias = Any
"""transformers' own objects carry no types."""
PROBE_LENGTHS = (1, 4, 16, 48, 96, 512)
MAX_DIFFERENCE = 1e-5
"""Between an exact forward of ours and transformers', in probabilities."""
MAX_DRIFT = 0.02
"""Largest change of a probe's probability that `auto` accepts of bf16. Beyond it the fp32 layers stay."""

Scorer: TypeAlias = Callable[[Tensor], Tensor]
"""Logits to probabilities."""


class Forward(Protocol):
    """Token ids to logits, one row a text, in order."""

    @property
    def packs(self) -> bool:
        """Whether texts of any lengths share a batch without padding each other."""

    def logits(self, batch: Sequence[Sequence[int]]) -> Tensor: ...


def choose(
    model: Checkpoint, precision: str, limit: int, score: Scorer, max_drift: float = MAX_DRIFT
) -> tuple[Forward, str]:
    """The forward to serve with, and the name of its precision."""
    probes = _probes(model, limit)
    with torch.inference_mode():
        expected = _expected(model, probes, score)
        if not torch.isfinite(expected).all():
            raise ModelRefused("weights_not_finite", "the classifier's scores of fixed probes are not finite numbers")
        exact = _exact(model, probes, expected, score)
        kind = "bf16" if precision == "auto" and _has_bf16(model) else precision
        if kind in ("auto", "fp32"):
            return exact, "fp32"
        for candidate in _candidates(model, kind):
            drift = difference(candidate, probes, expected, score)
            log.info("precision_compared", precision=kind, packed=candidate.packs, drift=round(drift, 5))
            if drift <= max_drift or (precision != "auto" and math.isfinite(drift)):
                return candidate, kind
    if precision != "auto":
        raise ModelRefused("precision_unsupported", f"the classifier does not run in `{precision}` on this processor")
    return exact, "fp32"


def _expected(model: Checkpoint, probes: Sequence[Sequence[int]], score: Scorer) -> Tensor:
    """By transformers' own forward, one by one."""
    reference = padded(model)
    try:
        return score(torch.cat([reference.logits([ids]) for ids in probes]))
    # Some classes want more than ids, say so in ways of their own, and would say it again for every text.
    except Exception as exc:
        told = f"`{type(model).__name__}` gives no scores for token ids alone ({type(exc).__name__})"
        raise ModelRefused("model_unsupported", told) from exc


def difference(forward: Forward, probes: Sequence[Sequence[int]], expected: Tensor, score: Scorer) -> float:
    """The largest in any probability, alone or in one batch. A forward that fails, or gives no number, is far off."""
    try:
        together = score(forward.logits(probes))
        alone = score(torch.cat([forward.logits([ids]) for ids in probes]))
    # A subclass whose layers are other than its name says fails in any way; transformers' own forward then serves it.
    except Exception as exc:  # noqa: BLE001
        log.warning("forward_failed", error=type(exc).__name__)
        return float("inf")
    found = max(float((one - expected).abs().max()) for one in (together, alone))
    return found if math.isfinite(found) else float("inf")


def _exact(model: Checkpoint, probes: Sequence[Sequence[int]], expected: Tensor, score: Scorer) -> Forward:
    for candidate in _candidates(model, "fp32"):
        found = difference(candidate, probes, expected, score)
        if found <= MAX_DIFFERENCE:
            return candidate
        log.warning("forward_differs", model_class=type(model).__name__, packed=candidate.packs, difference=found)
    return padded(model)


def _candidates(model: Checkpoint, kind: str) -> Iterator[Forward]:
    """Fastest first."""
    packed = read(model, kind)
    return itertools.chain([] if packed is None else [packed], (padded(model, kind) for _ in range(1)))


def _has_bf16(model: Checkpoint) -> bool:
    return torch.cuda.is_bf16_supported() if next(model.parameters()).is_cuda else has_fast_bf16()


def _probes(model: Checkpoint, limit: int) -> list[list[int]]:
    """Random ids, but not the padding id: a text holds none."""
    generator = torch.Generator().manual_seed(20)
    rows, pad = int(model.get_input_embeddings().weight.shape[0]), model.config.pad_token_id
    probes = []
    for length in sorted({min(length, limit) for length in PROBE_LENGTHS}):
        ids = torch.randint(0, rows, (length,), generator=generator).tolist()
        probes.append([(one + 1) % rows if one == pad else one for one in ids])
    return probes
