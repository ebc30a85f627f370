"""Answers drawn from noise under a grammar, without a model: a constraint must hold whatever the scores are."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from json import loads
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from engine.constraint import Constraints
from engine.errors import RequestError
from engine.events import Drawn, Finished, GenerateRequest, Grown, Reason, Sampling
from engine.grammar import Grammar
from engine.sequence import Sequence
from engine.tokens import TextTokenizer
from tests.engine import tiny
from tests.engine.stand_ins import Heard

STOP_IDS, VOCABULARY = frozenset({1, 4, 5}), 330
ENDERS = '"}]), 0123456789'
"""What brings a JSON text nearer to its end."""


def _number(text: str) -> Decimal | float:
    """Exact, but for exponents that only infinity and zero come near."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return float(text)


@dataclass(frozen=True)
class Answered:
    text: str
    end: Finished | RequestError
    tokens: tuple[Drawn, ...]

    @property
    def is_whole(self) -> bool:
        return isinstance(self.end, Finished) and self.end.reason is Reason.STOP

    @property
    def value(self) -> Any:
        """Numbers as they are written: a float rounds 0.99999999999999999 to what a schema may exclude."""
        return loads(self.text, parse_float=_number)


@lru_cache
def tokenizer() -> TextTokenizer:
    with TemporaryDirectory() as directory:
        tiny.byte_pairs(Path(directory))
        return TextTokenizer.from_file(Path(directory) / "tokenizer.json")


@lru_cache
def constraints() -> Constraints:
    return Constraints(tokenizer(), VOCABULARY, STOP_IDS)


def answer(grammar: Grammar, seed: int = 0, haste: float = 3.0, **changes: Any) -> Answered:
    """One answer; with `haste`, the noise leans to what ends it, or few answers would come to an end."""
    noise = torch.Generator().manual_seed(seed)
    request = GenerateRequest((0,), 400, time.monotonic() + 60, Sampling(seed=seed))
    request = replace(request, constraint=constraints().compiled(grammar), **changes)
    heard = Heard()
    sequence = Sequence(request, tokenizer(), STOP_IDS, heard)
    leaning_v = torch.zeros(VOCABULARY)
    leaning_v[[*STOP_IDS, *(tokenizer().content(one)[0] for one in ENDERS)]] = haste
    while not sequence.ended:
        sequence.draw(torch.randn(VOCABULARY, generator=noise) + leaning_v)
    grown = [event for event in heard.events if isinstance(event, Grown)]
    assert not isinstance(heard.end, Grown)
    return Answered("".join(one.text for one in grown), heard.end, tuple(t for one in grown for t in one.tokens))
