"""Fits the fourteen category outputs of the hazard guard once the encoder is done.

    python -m guards.starter.train.categories --data DATA --texts guards/starter/train/texts --model OUT/hazard

While the encoder learns, the category outputs hardly move: most rows name none, and fourteen rare labels drown in
the two that are common. On the finished encoder they are a small convex problem, solved here to its end with rare
categories weighted up. The encoder, the pooler and the `unsafe` output stay as they are, to the bit.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from guards.starter.train.data import Row, own_rows, training_rows
from guards.starter.train.recipe import CATEGORIES
from guards.starter.train.scores import CLS, SEP, batches, padded
from guards.starter.train.shipped import Shipped, load

MOST_OF_A_CATEGORY = 600
ORDINARY = 2_500
OWN_TRUST = 3.0
"""Categories of our own text were named by who wrote it; most public ones come from keyword rules."""
CROP = 160
DECAY = 3e-4
RARE_AT_MOST = 20.0


def chosen(public: Sequence[Row], own: Sequence[Row], seed: int) -> list[Row]:
    """Rows whose categories are known: unsafe ones capped by category, a sample of ordinary ones, all of our own."""
    rng = random.Random(seed)
    named = [row for row in public if row.unsafe and row.categories]
    rng.shuffle(named)
    seen: Counter[str] = Counter()
    kept = []
    for row in named:
        first = min(row.categories or ())
        seen[first] += 1
        if seen[first] <= MOST_OF_A_CATEGORY:
            kept.append(row)
    safe = [row for row in public if row.unsafe is False]
    known = [row for row in own if row.unsafe is not None and row.categories is not None]
    return [*kept, *rng.sample(safe, min(ORDINARY, len(safe))), *known]


@torch.no_grad()
def features(guard: Shipped, rows: Sequence[Row]) -> Tensor:
    """What the classifier layer sees of each text."""
    ids = [[CLS, *guard.tokenizer.encode(r.text, add_special_tokens=False).ids[: CROP - 2], SEP] for r in rows]
    pooled = torch.zeros(len(rows), int(guard.model.config.hidden_size))
    for group in batches([len(row) for row in ids], 8_192):
        found, mask = padded([ids[n] for n in group])
        pooled[group] = guard.model.bert(input_ids=found, attention_mask=mask).pooler_output.float()
    return pooled


def fitted(pooled: Tensor, targets: Tensor, trust: Tensor, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Weights and biases of one logistic regression a category, rare categories weighted up."""
    count = targets.sum(dim=0).clamp(min=1)
    rare = (len(targets) / count / 10).clamp(1.0, RARE_AT_MOST)
    each = trust[:, None] * torch.where(targets > 0, rare[None, :], torch.ones(()))
    weight = torch.zeros(targets.shape[1], pooled.shape[1], requires_grad=True)
    bias = torch.full((targets.shape[1],), -3.0, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        logits = pooled @ weight.T + bias
        fit = functional.binary_cross_entropy_with_logits(logits, targets, weight=each, reduction="sum") / len(targets)
        total: Tensor = fit + DECAY * weight.square().sum()
        total.backward()
        return total

    solver.step(loss)
    return weight.detach(), bias.detach()


def main() -> None:
    """Replace the category rows of the classifier in a hazard checkpoint."""
    parser = argparse.ArgumentParser(description="Fit the category outputs of the starter hazard guard.")
    for name in ("data", "texts", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    rows = chosen(training_rows(asked.data), own_rows(asked.texts), asked.seed)
    targets = torch.tensor([[float(name in (row.categories or ())) for name in CATEGORIES] for row in rows])
    trust = torch.tensor([OWN_TRUST if row.source == "own" else row.trust for row in rows])
    weight, bias = fitted(features(load(asked.model), rows), targets, trust)
    file = asked.model / "model.safetensors"
    weights = load_file(file)
    weights["classifier.weight"][1:] = weight.half()
    weights["classifier.bias"][1:] = bias.half()
    save_file(weights, file, {"format": "pt"})
    print(f"{len(rows)} rows, {dict(zip(CATEGORIES, targets.sum(dim=0).int().tolist(), strict=True))}")


if __name__ == "__main__":
    main()
