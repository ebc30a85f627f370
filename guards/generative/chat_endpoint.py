"""The client of `POST /v1/chat/completions`, for the one thing that `/v1/completions` has no form for: pictures.

The server puts the prompt together itself, with its own template and tokenizer, so less is known here than of prompts
that go as ids. What can be checked is: it says that it read more tokens than the text alone has, or the picture never
reached the model; each place of the answer has probabilities that are some; and the answer is a verdict, which whoever
calls looks at. Tokens are told by their text, at the places that the model has passed and no others. Everything else is
a GuardError, and nothing is tried twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx

from guards.asking import ask, bad, check_source
from guards.errors import GuardError
from guards.generative.pictured import Shown
from guards.generative.scoring import TOLERANCE, AnswerTree
from guards.generative.tokens import Ids

Json: TypeAlias = Any
"""A parsed JSON value: looked at before use."""
TOP = 20
"""As many as OpenAI's form admits at each place."""
LEAST_OF_A_PICTURE = 100
"""Tokens that any makes of a prompt; the smallest of Llama 4 makes 147."""
_BYTES, _BYTES_PER_TOKEN = 32_768, 192


@dataclass(frozen=True, slots=True)
class Place:
    """One token of the answer."""

    token: str = field(repr=False)
    told: Mapping[str, float] = field(repr=False)
    """Probabilities of what could have stood here, by the texts of tokens."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer."""

    text: str = field(repr=False)
    places: tuple[Place, ...] = ()
    """Empty where no probabilities were asked for."""

    def at(self, tree: AnswerTree, words: Mapping[int, str]) -> list[dict[int, float]]:
        """The probabilities at each node of a tree, as far as the model has come by it. `words`: texts of tokens."""
        return [
            {token: told[words[token]] for token, _ in node.branches if words[token] in told}
            for node in tree.nodes
            for told in [self._told(node.ids, words)]
        ]

    def _told(self, before: Ids, words: Mapping[int, str]) -> Mapping[str, float]:
        came_by = len(before) < len(self.places) and all(
            place.token == words[token] for place, token in zip(self.places, before, strict=False)
        )
        return self.places[len(before)].told if came_by else {}


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """One model at one address."""

    guard: str
    """For error messages."""
    client: httpx.AsyncClient
    url: str
    """Up to, and without, `/chat/completions`."""
    model: str
    weights: str
    """The digest that an answer names, if it names one."""

    async def asked(self, shown: Shown, text_tokens: int, max_tokens: int, is_scored: bool) -> Said:
        """What the model says of a conversation whose last message begins with a picture, or GuardError.

        `text_tokens`: how many the prompt has without the picture.
        """
        message: dict[str, object] = {"model": self.model, "messages": _messages(shown), "max_tokens": max_tokens}
        message |= {"temperature": 0, **({"logprobs": True, "top_logprobs": TOP} if is_scored else {})}
        limit = _BYTES + max_tokens * (TOP + 1) * _BYTES_PER_TOKEN
        answer = await ask(self.guard, self.client, f"{self.url}/chat/completions", message, limit)
        check_source(self.guard, answer, self.model, self.weights, required=False)
        usage = answer.get("usage")
        read = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        if type(read) is not int or read < text_tokens + LEAST_OF_A_PICTURE:
            raise self._bad("the server does not say that it read a picture beside the text")
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
        written = choice.get("message") if isinstance(choice, dict) else None
        text = written.get("content") if isinstance(written, dict) else None
        if not isinstance(choice, dict) or not isinstance(text, str):
            raise self._bad("the answer has not one choice with a text")
        return Said(text, self._places(choice.get("logprobs")) if is_scored else ())

    def _places(self, logprobs: Json) -> tuple[Place, ...]:
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        if not isinstance(content, list) or not content:
            raise self._bad("the answer tells no probabilities")
        return tuple(map(self._place, content))

    def _place(self, entry: Json) -> Place:
        others = entry.get("top_logprobs") if isinstance(entry, dict) else None
        if not isinstance(others, list):
            raise self._bad("the answer tells no probabilities")
        token, share = self._share(entry)
        listed = list(map(self._share, others))
        told = dict(listed)
        # Tokens that are no whole characters may have one text; what stands for a word has its own.
        if math.fsum(share for _, share in listed) > 1.0 + TOLERANCE:
            raise self._bad("the answer has probabilities that add up to more than 1")
        return Place(token, {token: share, **told})

    def _share(self, entry: Json) -> tuple[str, float]:
        token: Json = entry.get("token") if isinstance(entry, dict) else None
        value: Json = entry.get("logprob") if isinstance(entry, dict) else None
        # Comparison with NaN is false, so NaN is refused here, too.
        if not isinstance(token, str) or type(value) not in (int, float) or not -1e9 < value <= TOLERANCE:
            raise self._bad("the answer has a log-probability that is none")
        return token, math.exp(min(float(value), 0.0))

    def _bad(self, problem: str) -> GuardError:
        return bad(self.guard, problem)


def _messages(shown: Shown) -> Sequence[Mapping[str, object]]:
    """The turns as typed parts, a user first."""
    told: list[dict[str, object]] = []
    for i, text in enumerate(shown.texts):
        parts: list[dict[str, object]] = [{"type": "text", "text": text}]
        if i == len(shown.texts) - 1:
            parts.insert(0, {"type": "image_url", "image_url": {"url": shown.url}})
        told.append({"role": "assistant" if i % 2 else "user", "content": parts})
    return told
