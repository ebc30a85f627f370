"""The client of `POST /v1/completions`: rows of token ids in, the probabilities of the next token out.

As with guards/endpoint.py: only an answer that is complete and well-formed in every row counts, everything else is a
GuardError, and nothing is tried twice. Prompts go as ids, so no server's tokenizer or template has a say; the count of
tokens it says it has read must be ours. A token that a server did not tell has probability 0 (its share then lacks in
the mass that scoring.py checks), except where the server was asked for it by id and knows that field.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

from guards.asking import ask, bad, check_source
from guards.errors import GuardError
from guards.generative.pictured import Shown

Json: TypeAlias = Any
"""A parsed JSON value: looked at before use."""
MAX_PROMPTS = 64
"""In one call."""
TOP = 20
"""As many as an OpenAI-compatible server tells unasked; vLLM's limit unless it is started with another."""
_NAME = "token_id:"
_ROUNDING = 1e-3
"""How far above 0 rounding may carry the logarithm of a probability."""
_BYTES, _BYTES_PER_TOKEN, _BYTES_PER_ROW = 16_384, 96, 16_384


@dataclass(frozen=True, slots=True)
class CompletionsEndpoint:
    """One causal model at one address."""

    guard: str
    """For error messages."""
    client: httpx.AsyncClient
    url: str
    """Up to, and without, `/completions`."""
    model: str
    weights: str
    """The digest that answers have to name."""
    weights_required: bool = True
    """False allows an answer that names none, as foreign servers do; a different digest is refused always."""
    asks_ids: bool = True
    """Whether the server knows `logprob_token_ids` and tells those tokens, however unlikely."""

    is_ours: bool = False
    """Whether it is a model host of ours, which keeps the beginnings of different salts apart."""

    async def next_tokens(
        self, prompts: Sequence[Sequence[int]], wanted: Sequence[int], salt: str = "", shown: Shown | None = None
    ) -> list[dict[int, float]]:
        """For each prompt, the probabilities of the wanted tokens, or GuardError. All of them show the same picture.

        What the server remembers of prompts is only used for those of the same salt, so that how fast an answer comes
        tells nothing about what others have asked.
        """
        rows: list[dict[int, float]] = []
        for low in range(0, len(prompts), MAX_PROMPTS):
            batch = prompts[low : low + MAX_PROMPTS]
            question: dict[str, object] = {"max_tokens": 1, "logprobs": TOP, "return_tokens_as_token_ids": True}
            if self.asks_ids:
                question["logprob_token_ids"] = list(wanted)
            if self.is_ours and salt:
                question["cache_salt"] = salt
            choices = await self._choices(batch, question, TOP + len(wanted) + 1, shown)
            rows += [self._probabilities(choice, index, wanted) for index, choice in enumerate(choices)]
        return rows

    async def texts(self, prompts: Sequence[Sequence[int]], max_tokens: int, shown: Shown | None = None) -> list[str]:
        """For each prompt, what the model writes, or GuardError."""
        written: list[str] = []
        for low in range(0, len(prompts), MAX_PROMPTS):
            batch = prompts[low : low + MAX_PROMPTS]
            choices = await self._choices(batch, {"max_tokens": max_tokens}, max_tokens, shown)
            written += [self._text(choice, index) for index, choice in enumerate(choices)]
        return written

    async def _choices(
        self, prompts: Sequence[Sequence[int]], question: dict[str, object], tokens: int, shown: Shown | None
    ) -> list[Json]:
        message = {"model": self.model, "prompt": [list(ids) for ids in prompts], "temperature": 0, **question}
        if shown is not None:
            message["images"] = [{"at": shown.at, "url": shown.url}]
        limit = _BYTES + len(prompts) * (_BYTES_PER_ROW + tokens * _BYTES_PER_TOKEN)
        answer = await ask(self.guard, self.client, f"{self.url}/completions", message, limit)
        check_source(self.guard, answer, self.model, self.weights, required=self.weights_required)
        self._check_usage(answer.get("usage"), prompts, shown is not None)
        choices = answer.get("choices")
        if not isinstance(choices, list) or len(choices) != len(prompts):
            raise self._bad(f"the answer has not {len(prompts)} choices")
        for index, choice in enumerate(choices):
            if not isinstance(choice, dict) or type(choice.get("index")) is not int or choice["index"] != index:
                raise self._bad(f"choice {index} is not at its index")
        return choices

    def _check_usage(self, usage: Json, prompts: Sequence[Sequence[int]], has_picture: bool) -> None:
        """A picture is as many tokens more in each prompt; how many, the model host knows."""
        read, sent = usage.get("prompt_tokens") if isinstance(usage, dict) else None, sum(map(len, prompts))
        more = read - sent if type(read) is int else -1
        if not (more > 0 and more % len(prompts) == 0 if has_picture else more == 0):
            raise self._bad(f"the server does not say that it read the {sent} tokens it was sent")

    def _probabilities(self, choice: Json, index: int, wanted: Sequence[int]) -> dict[int, float]:
        """Those of the wanted tokens that were told, and the token that was chosen."""
        logprobs = choice.get("logprobs")
        told = logprobs.get("top_logprobs") if isinstance(logprobs, dict) else None
        if not isinstance(told, list) or not told or not isinstance(told[0], dict):
            raise self._bad(f"choice {index} tells no probabilities")
        found = {self._id(name, index): self._probability(value, index) for name, value in told[0].items()}
        if self.asks_ids and not set(wanted) <= found.keys():
            raise self._bad(f"choice {index} lacks tokens that were asked for")
        if math.fsum(found.values()) > 1.0 + _ROUNDING:
            raise self._bad(f"choice {index} has probabilities that add up to more than 1")
        return {token: found[token] for token in wanted if token in found}

    def _id(self, name: str, index: int) -> int:
        number = name.removeprefix(_NAME)
        if number == name or not number.isascii() or not number.isdecimal() or len(number) > 9:
            raise self._bad(f"choice {index} does not name tokens by id")
        return int(number)

    def _probability(self, value: Json, index: int) -> float:
        """Comparison with NaN is false, so NaN is refused here, too; minus infinity is what no JSON can say."""
        if type(value) not in (int, float) or not -1e9 < value <= _ROUNDING:
            raise self._bad(f"choice {index} has a log-probability that is none")
        return math.exp(min(float(value), 0.0))

    def _text(self, choice: Json, index: int) -> str:
        text = choice.get("text")
        if not isinstance(text, str):
            raise self._bad(f"choice {index} has no text")
        return text

    def _bad(self, problem: str) -> GuardError:
        return bad(self.guard, problem)
