"""Logits to the next token, repeatable from a seed whoever else is in the batch.

Each request draws from its own generator, on the device that has its logits, so its tokens depend on those, its seed
and the kind of device only. Nothing waits for a device where a token is drawn `ahead`. Temperature zero is the most
probable token, without a draw. Log-probabilities are those of the model, before any of the limits.

Shapes: v vocabulary, in fp32.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import torch
from torch import Tensor

from engine.adjust import Adjustment
from engine.errors import StepFailed
from engine.events import Drawn, Sampling


class Sampler:
    """Draws one request's tokens."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int] = ()) -> None:
        self._sampling, self._adjustment = sampling, Adjustment(sampling, prompt)
        self._seed = sampling.seed if sampling.seed is not None else secrets.randbits(63)
        self._generator: torch.Generator | None = None

    def ahead(self, logits_v: Tensor) -> Tensor | None:
        """The next token, still on its device; None where drawing takes or tells more than the scores.

        Whether they are numbers is for the caller to see.
        """
        is_plain = not self._sampling.adjusts and self._sampling.logprobs is None
        return self._chosen(logits_v) if is_plain else None

    def draw(self, logits_v: Tensor, banned: Iterable[int] = (), allowed_v: Tensor | None = None) -> Drawn:
        """The next token, none of those that are banned, one of those that are allowed if some are named.

        StepFailed when the logits are not numbers.

        A guard must never read a verdict out of NaN.
        """
        _require_finite(logits_v)
        token = int(self._chosen(self._adjustment.of(logits_v, banned, allowed_v)))
        self._adjustment.drew(token)
        return self._told(logits_v, token)

    def scored(self, logits_v: Tensor, token: int) -> Drawn:
        """What was asked for about a token that was there already. StepFailed as above."""
        _require_finite(logits_v)
        return self._told(logits_v, token)

    def _told(self, logits_v: Tensor, token: int) -> Drawn:
        if self._sampling.logprobs is None:
            return Drawn(token)
        logprobs_v = logits_v.log_softmax(dim=-1)
        top = self._reported(logprobs_v, token) if self._sampling.reported else self._most_probable(logprobs_v)
        return Drawn(token, float(logprobs_v[token]), top)

    def _most_probable(self, logprobs_v: Tensor) -> tuple[tuple[int, float], ...]:
        values, ids = logprobs_v.topk(min(self._sampling.logprobs or 0, logprobs_v.numel()))
        return tuple(zip(ids.tolist(), values.tolist(), strict=True))

    def _reported(self, logprobs_v: Tensor, token: int) -> tuple[tuple[int, float], ...]:
        """Over the whole vocabulary like all others: a guard's verdict mass is told from what is missing to one."""
        ids = sorted({*self._sampling.reported, token})
        found = zip(ids, logprobs_v[ids].tolist(), strict=True)
        return tuple(sorted(found, key=lambda entry: -entry[1]))

    def _chosen(self, logits_v: Tensor) -> Tensor:
        if self._sampling.temperature == 0:
            return logits_v.argmax()
        probabilities_v = limited((logits_v / self._sampling.temperature).softmax(dim=-1), self._sampling)
        if self._generator is None:
            self._generator = torch.Generator(logits_v.device).manual_seed(self._seed)
        # As torch.multinomial draws, which asks the device whether these are probabilities.
        waits_v = torch.empty_like(probabilities_v).exponential_(generator=self._generator)
        return (probabilities_v / waits_v).argmax()


def _require_finite(logits_v: Tensor) -> None:
    if not torch.isfinite(logits_v).all():
        raise StepFailed("not_finite", "the model's scores are not finite numbers")


def limited(probabilities_v: Tensor, sampling: Sampling) -> Tensor:
    """Zero for tokens outside top_k, top_p or min_p. The most probable token always stays. Not normalised."""
    if sampling.top_k == 0 and sampling.top_p == 1 and sampling.min_p == 0:
        return probabilities_v
    sorted_v, order_v = probabilities_v.sort(descending=True, stable=True)
    before_v = sorted_v.cumsum(dim=-1) - sorted_v
    keep_v = (before_v < sampling.top_p) & (sorted_v >= sampling.min_p * sorted_v[0])
    if sampling.top_k:
        keep_v[sampling.top_k :] = False
    keep_v[0] = True
    return torch.zeros_like(probabilities_v).scatter_(0, order_v, sorted_v.masked_fill(~keep_v, 0.0))
