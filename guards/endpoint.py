"""The client of `POST /classify`: rows of token ids in, rows of probabilities out.

Only an answer that is complete and well-formed in every row counts; everything else is a GuardError. There are no
retries: the deadline belongs to the request that waits, and a second try would hide an overloaded host.
The httpx client comes from outside and decides where the model runs (unix socket, URL, credentials).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from guards.errors import ErrorKind, GuardError

_SUM_TOLERANCE = 0.01
"""What rounding may do to a softmax row; more means that the row is not a distribution over the labels we know."""
_BYTES_PER_PROBABILITY, _BYTES_PER_ROW = 64, 4_096

_STATUS_KINDS = {
    429: ErrorKind.OVERLOAD,
    503: ErrorKind.UNAVAILABLE,
    502: ErrorKind.UNAVAILABLE,
    504: ErrorKind.TIMEOUT,
}


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
        body = await self._post({"model": self.model, "input": [list(row) for row in rows]}, len(rows))
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as exc:
            raise self._bad("the answer is not JSON") from exc
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
            raise self._bad("the answer has no list `data`")
        self._check_source(answer)
        data = answer["data"]
        if len(data) != len(rows):
            raise self._bad(f"the answer has {len(data)} rows, expected {len(rows)}")
        return [self._probabilities(row, index) for index, row in enumerate(data)]

    async def _post(self, message: object, rows: int) -> bytes:
        limit = _BYTES_PER_ROW + rows * (_BYTES_PER_ROW + self.num_classes * _BYTES_PER_PROBABILITY)
        try:
            async with self.client.stream("POST", f"{self.url}/classify", json=message) as response:
                if response.status_code != 200:
                    kind = _STATUS_KINDS.get(response.status_code, ErrorKind.BAD_ANSWER)
                    raise GuardError(self.guard, kind, f"the endpoint answered {response.status_code}")
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > limit:
                        raise self._bad(f"the answer is longer than {limit} bytes")
                return bytes(body)
        except httpx.TimeoutException as exc:
            raise GuardError(self.guard, ErrorKind.TIMEOUT, "the endpoint did not answer in time") from exc
        except httpx.DecodingError as exc:
            raise self._bad("the answer cannot be decompressed") from exc
        except httpx.TransportError as exc:
            raise GuardError(self.guard, ErrorKind.UNAVAILABLE, f"no connection: {type(exc).__name__}") from exc

    def _check_source(self, answer: dict[str, object]) -> None:
        if answer.get("model") != self.model:
            raise self._bad(f"the answer is not from model `{self.model}`")
        named = answer.get("weights")
        if named is None and not self.weights_required:
            return
        if named != self.weights:
            raise self._bad("the answer names other weights than the manifest")

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
        return GuardError(self.guard, ErrorKind.BAD_ANSWER, problem)


def _is_int(value: object, expected: int) -> bool:
    return type(value) is int and value == expected


def _is_probability(value: object) -> bool:
    """Comparison with NaN is false, so NaN is refused here, too."""
    return type(value) in (int, float) and 0.0 <= value <= 1.0  # type: ignore[operator]
