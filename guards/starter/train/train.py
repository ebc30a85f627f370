"""Trains both starter guards and writes their checkpoints.

    python -m guards.starter.train.train --data DATA --texts guards/starter/train/texts --base BASE --out OUT --seed 7

DATA holds the public rows (`injection_train.jsonl.gz`, `hazard_train.jsonl.gz`, two dev files), BASE the unpacked
encoder. First epochs on public text teach breadth; later ones mix in our own text, which decides. The encoder is
shared until the end, then written twice with one head each. Weights are averaged over the last steps. The quality
printed on the way is on sources that never enter training.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from guards.starter.train.data import Deck, Row, own_rows, training_rows, unseen_rows
from guards.starter.train.model import LABELS, Logits, TwoHeads, export, from_base
from guards.starter.train.recipe import CATEGORIES
from guards.starter.train.scores import CLS, SEP, auc, batches, load_tokenizer, padded, recall_at, score_texts

CROP = 160
"""Tokens of a training text: longer ones are cropped, mostly to their head, where jailbreaks announce themselves."""
LONG_CROP = 254
BATCH_TOKENS = 3_072
LEARNING_RATE = 1.5e-4
LAYER_DECAY = 0.85
SMOOTHING = 0.04
ATTACK_WEIGHT, CATEGORY_WEIGHT, PLAIN_HARM_TRUST = 2.0, 0.5, 0.5
AVERAGE_DECAY = 0.996
TEXTS_A_BATCH = 50
"""About as many fit the token budget; the schedule is planned by it."""
MIXED_RATE = 0.7


def crop(ids: Sequence[int], rng: random.Random) -> list[int]:
    """Content ids cut to the training length and framed by specials; one text in ten keeps a longer stretch."""
    room = (LONG_CROP if rng.random() < 0.1 else CROP) - 2
    spare = len(ids) - room
    start = rng.randint(0, spare) if spare > 0 and rng.random() < 0.25 else 0
    return [CLS, *ids[start : start + room], SEP]


def loss_of(logits: Logits, rows: Sequence[Row]) -> Tensor:
    """Both losses, each over the rows whose label is known, weighted by trust."""
    total = _attack_loss(logits.injection, rows) + _hazard_loss(logits.hazard, rows)
    return total


def _attack_loss(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    weight = torch.tensor([_attack_weight(row) for row in rows])
    target = torch.tensor([int(bool(row.attack)) for row in rows])
    each = functional.cross_entropy(logits.float(), target, reduction="none", label_smoothing=SMOOTHING)
    return (each * weight).sum() / len(rows)


def _attack_weight(row: Row) -> float:
    if row.attack is None:
        return 0.0
    return row.trust * (ATTACK_WEIGHT if row.attack else PLAIN_HARM_TRUST if row.unsafe else 1.0)


def _hazard_loss(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    known = torch.tensor([0.0 if row.unsafe is None else row.trust for row in rows])
    target = torch.tensor([[float(bool(row.unsafe)), *_category_targets(row)] for row in rows])
    soft = target * (1 - SMOOTHING) + SMOOTHING / 2
    each = functional.binary_cross_entropy_with_logits(logits.float(), soft, reduction="none")
    named = torch.tensor([0.0 if row.categories is None else row.trust for row in rows])
    categories = (each[:, 1:].sum(dim=1) * named).sum() * CATEGORY_WEIGHT / 3
    return ((each[:, 0] * known).sum() + categories) / len(rows)


def _category_targets(row: Row) -> list[float]:
    return [float(name in (row.categories or ())) for name in CATEGORIES]


def parameter_groups(model: TwoHeads, rate: float) -> list[dict[str, object]]:
    """Lower layers learn more slowly; the embeddings slowest."""
    groups: list[dict[str, object]] = []
    depth = model.config.num_hidden_layers
    for name, value in model.named_parameters():
        if name.startswith("encoder.embeddings."):
            scale = LAYER_DECAY ** (depth + 1) * 0.5
        elif name.startswith("encoder.encoder.layer."):
            scale = LAYER_DECAY ** (depth - int(name.split(".")[3]))
        else:
            scale = 2.0
        decay = 0.02 if value.dim() > 1 and "embeddings" not in name else 0.0
        groups.append({"params": [value], "lr": rate * scale, "weight_decay": decay})
    return groups


class Averaged:
    """An exponential average of the weights, which generalises a little better than the last step."""

    def __init__(self, model: nn.Module) -> None:
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self._steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights; quickly at first."""
        self._steps += 1
        decay = min(AVERAGE_DECAY, self._steps / (self._steps + 9))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)


def run_epoch(
    model: TwoHeads,
    rows: Sequence[Row],
    tokenizer: Tokenizer,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    averaged: Averaged,
    rng: random.Random,
) -> None:
    """One pass over the rows in batches of similar length, in random order of batches."""
    model.train()
    ids = [crop(tokenizer.encode(row.text, add_special_tokens=False).ids, rng) for row in rows]
    groups = batches([len(row) for row in ids], BATCH_TOKENS)
    rng.shuffle(groups)
    seen, begun = 0.0, time.monotonic()
    for step, group in enumerate(groups, 1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(*padded([ids[n] for n in group]))
        loss = loss_of(logits, [rows[n] for n in group])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        averaged.update(model)
        seen += loss.item()
        if step % 50 == 0 or step == len(groups):
            print(f"  step {step}/{len(groups)} loss {seen / step:.4f} {time.monotonic() - begun:.0f} s", flush=True)


def report(model: TwoHeads, state: dict[str, Tensor], tokenizer: Tokenizer, sets: dict[str, list[Row]]) -> None:
    """Ranked quality of the averaged weights on text that never enters training."""
    own_state = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    model.eval()

    def both(ids: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(ids, mask)
        return torch.cat([logits.injection.float().softmax(-1)[:, 1:], logits.hazard.float().sigmoid()[:, :1]], dim=1)

    for title, rows in sets.items():
        found = score_texts([row.text for row in rows], tokenizer, both, most_windows=3)
        for column, name, labels in (
            (0, "injection", [row.attack for row in rows]),
            (1, "hazard", [row.unsafe for row in rows]),
        ):
            positive = found[[n for n, label in enumerate(labels) if label is True], column]
            negative = found[[n for n, label in enumerate(labels) if label is False], column]
            figures = " ".join(f"R@{rate:.0%} {recall_at(positive, negative, rate):.3f}" for rate in (0.01, 0.03))
            count = f"n={len(positive)}+{len(negative)}"
            print(f"  {title}, {name}: AUC {auc(positive, negative):.4f} {figures} {count}", flush=True)
    model.load_state_dict(own_state)


def stage(
    model: TwoHeads,
    dealt: Sequence[Sequence[Row]],
    rate: float,
    tokenizer: Tokenizer,
    sets: dict[str, list[Row]],
    seed: int,
    out: Path,
) -> dict[str, Tensor]:
    """Train through the dealt epochs on one warm-up and decay; gives the averaged weights, kept after each epoch."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    total = sum(len(rows) for rows in dealt) // TEXTS_A_BATCH + 1
    optimizer = torch.optim.AdamW(parameter_groups(model, rate), fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.08 * total), max(0.04, 1 - step / total))
    )
    averaged = Averaged(model)
    for number, rows in enumerate(dealt, 1):
        print(f"epoch {number}/{len(dealt)}: {len(rows)} rows", flush=True)
        run_epoch(model, rows, tokenizer, optimizer, scheduler, averaged, rng)
        save_file({key: value.contiguous() for key, value in averaged.state.items()}, out)
        report(model, averaged.state, tokenizer, sets)
    return averaged.state


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the starter guards and write their checkpoints.")
    for name in ("data", "texts", "base", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--public-epochs", type=int, default=2)
    parser.add_argument("--mixed-epochs", type=int, default=3)
    parser.add_argument("--own-repeats", type=int, default=2)
    parser.add_argument("--mixed-share", type=float, default=0.35)
    parser.add_argument("--rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--start", type=Path, help="weights of an earlier stage to go on from")
    parser.add_argument("--rows", type=int, help="keep only so many rows: a smoke test")
    return parser.parse_args()


def main() -> None:
    """Both stages, or the second alone from saved weights of the first; every stage is seeded by itself."""
    asked = parsed()
    torch.manual_seed(asked.seed)
    rng = random.Random(asked.seed)
    tokenizer, model = load_tokenizer(asked.base), from_base(asked.base)
    if asked.start:
        model.load_state_dict(load_file(asked.start))
    public, own, unseen = training_rows(asked.data), own_rows(asked.texts), unseen_rows(asked.data)
    if asked.rows:
        public, own = rng.sample(public, asked.rows), own[: asked.rows]
    sets = {
        "unseen sources": rng.sample(unseen, min(asked.rows or 1_500, len(unseen))),
        "own text kept aside": own_rows(asked.texts, kept_aside=True),
    }
    print(f"{len(public)} public rows, {len(own)} of our own, checked on { {k: len(v) for k, v in sets.items()} }")
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, seed, count, share, repeats, rate in (
        ("public", asked.seed, asked.public_epochs, 1.0, 0, asked.rate),
        (
            "mixed",
            f"{asked.seed} mixed",
            asked.mixed_epochs,
            asked.mixed_share,
            asked.own_repeats,
            asked.rate * MIXED_RATE,
        ),
    ):
        if count:
            deck = Deck(public, own, seed)
            dealt = [deck.epoch(share, repeats) for _ in range(count)]
            out = asked.out / f"{name}.safetensors"
            model.load_state_dict(stage(model, dealt, rate, tokenizer, sets, asked.seed, out))
    for task in LABELS:
        export(model, task, asked.base, asked.out / task)


if __name__ == "__main__":
    main()
