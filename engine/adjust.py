"""What a request changes about the scores before a token is drawn: bias, penalties, grammar, ends come too early.

The definitions are those of OpenAI (`logit_bias`; `presence_penalty` and `frequency_penalty` over what was drawn so
far) and of Keskar et al. 2019 (`repetition_penalty` over prompt and answer: positive scores divided, others
multiplied). Log-probabilities are reported before all of this: they are the model's.

Shapes: v vocabulary; scores in fp32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from engine.events import Sampling


class Adjustment:
    """Follows one answer. Costs nothing where a request changes nothing."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int] = ()) -> None:
        self._sampling = sampling
        self._drawn: Counter[int] = Counter()
        # Below zero stand patches of pictures, which cannot be drawn.
        seen = (token for token in prompt if token >= 0) if sampling.repetition_penalty != 1 else ()
        self._seen = dict.fromkeys(seen)
        self._bias_ids = torch.tensor([token for token, _ in sampling.logit_bias], dtype=torch.long)
        self._bias = torch.tensor([amount for _, amount in sampling.logit_bias])

    def drew(self, token: int) -> None:
        """A token was added to the answer."""
        if self._sampling.penalises:
            self._drawn[token] += 1
            self._seen[token] = None

    def of(self, logits_v: Tensor, banned: Iterable[int] = (), allowed_v: Tensor | None = None) -> Tensor:
        """The scores to draw from; `banned` tokens cannot be drawn, nor any but those that are allowed.

        The given ones stay as they are.
        """
        banned = tuple(banned)
        if not self._sampling.adjusts and not banned and allowed_v is None:
            return logits_v
        adjusted_v = logits_v.clone()
        if self._seen and self._sampling.repetition_penalty != 1:
            self._penalise_repetition(adjusted_v)
        if self._drawn:
            self._penalise_drawn(adjusted_v)
        adjusted_v[self._bias_ids.to(logits_v.device)] += self._bias.to(logits_v.device)
        adjusted_v[list(banned)] = -torch.inf
        return adjusted_v if allowed_v is None else adjusted_v.masked_fill_(~allowed_v.to(logits_v.device), -torch.inf)

    def _penalise_repetition(self, logits_v: Tensor) -> None:
        ids, penalty = torch.tensor(list(self._seen), device=logits_v.device), self._sampling.repetition_penalty
        scores = logits_v[ids]
        logits_v[ids] = torch.where(scores > 0, scores / penalty, scores * penalty)

    def _penalise_drawn(self, logits_v: Tensor) -> None:
        counts = torch.tensor(list(self._drawn.values()), dtype=logits_v.dtype, device=logits_v.device)
        penalty = self._sampling.presence_penalty + self._sampling.frequency_penalty * counts
        logits_v[torch.tensor(list(self._drawn), device=logits_v.device)] -= penalty
