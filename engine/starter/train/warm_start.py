"""Word vectors to begin with: a bag of tokens that tells the intents apart.

A transformer that starts from random vectors spends most of a short run finding out which words matter. A mean of
token vectors and one linear layer learn that in a minute, from the same examples; the model starts from those vectors.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.starter.train.chat import Chat
from engine.starter.train.examples import Example, Examples


class Bag(nn.Module):
    """Mean of token vectors, then one layer."""

    def __init__(self, vocabulary: int, width: int, classes: int) -> None:
        super().__init__()
        self.vectors = nn.EmbeddingBag(vocabulary, width, mode="mean")
        nn.init.normal_(self.vectors.weight, std=0.1)
        self.classes = nn.Linear(width, classes)

    def forward(self, texts: Sequence[list[int]], dropout: float = 0.0) -> Tensor:
        starts = torch.tensor([0, *(len(ids) for ids in texts)]).cumsum(0)[:-1]
        bag = self.vectors(torch.tensor([i for ids in texts for i in ids]), starts)
        return self.classes(functional.dropout(bag, dropout, self.training))


def token_vectors(chat: Chat, examples: Examples, width: int, seconds: float, seed: int) -> Tensor:
    """Vectors whose entries have a root mean square of one."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    known: dict[str, int] = {}
    for intent in examples.intents:
        known.setdefault(intent.answer, len(known))
    pool: list[tuple[list[int], int]] = []

    def row(example: Example) -> tuple[list[int], int]:
        return chat.text(example.messages[-1][1])[:200] or [0], known.get(example.answer, len(known))

    bag = Bag(chat.tokenizer.get_vocab_size(), width, len(known) + 1)
    optimizer = torch.optim.AdamW(bag.parameters(), lr=1e-2, weight_decay=0.02)
    start = time.time()
    step = 0
    while (done := (time.time() - start) / seconds) < 1:
        if len(pool) < 60000:
            pool += [row(examples.draw_plain()) for _ in range(256)]
        batch = rng.choices(pool, k=256)
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - done)
        loss = functional.cross_entropy(bag([ids for ids, _ in batch], 0.3), torch.tensor([c for _, c in batch]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
    bag.eval()
    asked = [(chat.text(prompt), known[i.answer]) for i in examples.intents for prompt in i.held_out]
    right = (bag([ids for ids, _ in asked]).argmax(-1) == torch.tensor([c for _, c in asked])).float().mean().item()
    print(
        json.dumps({"warm_start_steps": step, "loss": round(loss.item(), 3), "held_out": round(right, 4)}), flush=True
    )
    weight = bag.vectors.weight.detach()
    return weight / weight.pow(2).mean().sqrt()
