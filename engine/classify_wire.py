"""`POST /classify`: the body to token ids, and probabilities to the answer. The same shape as vLLM's.

Token ids are taken as they are, control tokens included: the caller has rendered them. Text is tokenised here, with
control tokens impossible. Nothing is cut: an input longer than the model is a 400 with both numbers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.errors import BadRequest
from engine.tokens import TextTokenizer
from engine.wire import Fields, Json, blamed

MAX_INPUTS = 512


class Described(Protocol):
    """What is read of a ClassifierInfo; that module imports torch, this one does not."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def vocabulary(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """What to judge: one list of ids for each input, in the order of the answer."""

    inputs: tuple[tuple[int, ...], ...] = field(repr=False)

    @property
    def tokens(self) -> int:
        return sum(len(ids) for ids in self.inputs)


def parse_classify(fields: Fields, info: Described, tokenizer: TextTokenizer | None) -> ClassifyRequest:
    raw = fields.take("input")
    fields.ignored("model", "user")
    fields.done()
    inputs = tuple(_ids(item, info, tokenizer) for item in _listed(raw))
    return ClassifyRequest(inputs)


def classify_answer(
    model: str, digest: str, info: Described, request: ClassifyRequest, scores: Sequence[Sequence[float]]
) -> dict[str, Any]:
    data = [
        {"index": index, "label": info.labels[row.index(max(row))], "probs": list(row), "num_classes": len(row)}
        for index, row in enumerate(map(tuple, scores))
    ]
    usage = {"prompt_tokens": request.tokens, "total_tokens": request.tokens, "completion_tokens": 0}
    return {
        "id": f"classify-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": data,
        "usage": usage,
        "weights": digest,
    }


def _listed(raw: Json) -> list[Json]:
    """Four forms are allowed; all become a list of texts or of id lists."""
    if isinstance(raw, str) or (isinstance(raw, list) and raw and _is_id(raw[0])):
        return [raw]
    if not isinstance(raw, list) or not raw:
        raise BadRequest("invalid_parameter", "`input`: expected text, token ids, or a list of either", "input")
    if len(raw) > MAX_INPUTS:
        raise BadRequest("too_many_inputs", f"`input` has {len(raw)} entries, expected at most {MAX_INPUTS}", "input")
    return raw


def _ids(item: Json, info: Described, tokenizer: TextTokenizer | None) -> tuple[int, ...]:
    if isinstance(item, str):
        if tokenizer is None:
            raise BadRequest("no_tokenizer", "this model has no tokenizer.json: send token ids", "input")
        with blamed("input"):
            item = tokenizer.framed(item)
    if not isinstance(item, list) or not item or not all(_is_id(value) for value in item):
        raise BadRequest("invalid_parameter", "`input`: expected text, token ids, or a list of either", "input")
    if len(item) > info.max_tokens:
        told = f"an input has {len(item)} tokens, this model takes at most {info.max_tokens}"
        raise BadRequest("context_length_exceeded", told, "input")
    if not all(0 <= value < info.vocabulary for value in item):
        raise BadRequest("invalid_token_id", f"`input`: a token id is outside 0 to {info.vocabulary - 1}", "input")
    return tuple(item)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
