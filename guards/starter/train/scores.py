"""Scores texts with both heads and measures ranked quality; used while training, for thresholds and for the cards.

A text longer than the window is read in overlapping windows and the highest score counts, as the gateway does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

WINDOW = 256
"""Tokens of a window, specials included. Training saw up to this many; the position table would allow 512."""
OVERLAP = 64
CLS, SEP, PAD = 101, 102, 0

Scorer = Callable[[Tensor, Tensor], Tensor]
"""Padded ids and mask to probabilities, one row a text."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer without padding or truncation."""
    tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def windows(ids: Sequence[int], size: int = WINDOW, overlap: int = OVERLAP) -> list[list[int]]:
    """Content ids (without specials) in overlapping windows with specials; at least one."""
    room = size - 2
    starts = range(0, max(1, len(ids) - overlap), room - overlap)
    return [[CLS, *ids[start : start + room], SEP] for start in starts]


def padded(batch: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids padded to the longest, and their mask."""
    width = max(map(len, batch))
    ids = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in batch])
    return ids, (ids != PAD).long()


def batches(lengths: Sequence[int], tokens: int, most: int = 128) -> list[list[int]]:
    """Indices grouped by similar length, each group at most `tokens` padded tokens."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or len(groups[-1]) >= most or (len(groups[-1]) + 1) * lengths[index] > tokens:
            groups.append([])
        groups[-1].append(index)
    return groups


@torch.inference_mode()
def score_texts(texts: Sequence[str], tokenizer: Tokenizer, scorer: Scorer, most_windows: int = 8) -> Tensor:
    """The highest probability of each label over the windows of each text."""
    pieces: list[list[int]] = []
    owner: list[int] = []
    for index, text in enumerate(texts):
        cut = windows(tokenizer.encode(text, add_special_tokens=False).ids)[:most_windows]
        pieces += cut
        owner += [index] * len(cut)
    best: Tensor | None = None
    for group in batches([len(piece) for piece in pieces], 8_192):
        found = scorer(*padded([pieces[n] for n in group])).float()
        if best is None:
            best = torch.zeros(len(texts), found.shape[1])
        for row, piece in enumerate(group):
            best[owner[piece]] = torch.maximum(best[owner[piece]], found[row])
    if best is None:
        raise ValueError("no text to score")
    return best


def auc(positive: Tensor, negative: Tensor) -> float:
    """Probability that a positive scores above a negative, ties counted half."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = negative.sort().values
    positive = positive.contiguous()
    below = torch.searchsorted(ordered, positive, right=False).double()
    upto = torch.searchsorted(ordered, positive, right=True).double()
    return float(((below + upto) / 2).mean() / len(negative))


def threshold_at(negative: Tensor, rate: float) -> float:
    """The lowest score that at most `rate` of the negatives lie strictly above."""
    ordered = negative.sort(descending=True).values
    return float(ordered[min(int(rate * len(negative)), len(negative) - 1)])


def recall_at(positive: Tensor, negative: Tensor, rate: float) -> float:
    """Share of positives above the threshold for that false-positive rate."""
    return float((positive > threshold_at(negative, rate)).double().mean()) if len(positive) else float("nan")
