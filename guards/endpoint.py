"""The client of `POST /classify`: rows of token ids in, rows of probabilities out.

Only an answer that is complete and well-formed in every row counts; everything else is a GuardError (guards/asking.py).
The httpx client comes from outside and decides where the model runs (unix socket, URL, credentials).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from guards.asking import ask, bad, check_source
from guards.errors import GuardError

_SUM_TOLERANCE = 0.01
"""What rounding may do to a softmax row; more means that the row is not a distribution over the labels we know."""
_BYTES_PER_PROBABILITY, _BYTES_PER_ROW = 64, 4_096


@dataclass(frozen=True, slots=True)
class ClassifyEndpoint:
    """One classifier at one address."""

    guard: str
    """For error messages."""
    client: httpx.AsyncClient
    url: str
    """Up to, and without, `/classify`."""
    model: str
    num_classes: int
    sums_to_one: bool
    """True for softmax rows, False where each label has a probability of its own."""
    weights: str
    """The digest that answers have to name."""
    weights_required: bool = True
    """False allows an answer that names none, as foreign servers do; a different digest is refused always."""

    async def classify(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Probabilities of each row, in order, or GuardError."""
        message = {"model": self.model, "input": [list(row) for row in rows]}
        limit = _BYTES_PER_ROW + len(rows) * (_BYTES_PER_ROW + self.num_classes * _BYTES_PER_PROBABILITY)
        answer = await ask(self.guard, self.client, f"{self.url}/classify", message, limit)
        data = answer.get("data")
        if not isinstance(data, list):
            raise self._bad("the answer has no list `data`")
        check_source(self.guard, answer, self.model, self.weights, required=self.weights_required)
        if len(data) != len(rows):
            raise self._bad(f"the answer has {len(data)} rows, expected {len(rows)}")
        return [self._probabilities(row, index) for index, row in enumerate(data)]

    def _probabilities(self, row: object, index: int) -> list[float]:
        if not isinstance(row, dict) or not _is_int(row.get("index"), index):
            raise self._bad(f"row {index} is not at its index")
        probs = row.get("probs")
        if not _is_int(row.get("num_classes"), self.num_classes) or not isinstance(probs, list):
            raise self._bad(f"row {index} has not {self.num_classes} classes")
        if len(probs) != self.num_classes or not all(_is_probability(p) for p in probs):
            raise self._bad(f"row {index} does not hold {self.num_classes} probabilities")
        if self.sums_to_one and abs(math.fsum(probs) - 1.0) > _SUM_TOLERANCE:
            raise self._bad(f"row {index} does not add up to 1")
        return [float(p) for p in probs]

    def _bad(self, problem: str) -> GuardError:
        return bad(self.guard, problem)


def _is_int(value: object, expected: int) -> bool:
    return type(value) is int and value == expected


def _is_probability(value: object) -> bool:
    """Comparison with NaN is false, so NaN is refused here, too."""
    return type(value) in (int, float) and 0.0 <= value <= 1.0  # type: ignore[operator]
