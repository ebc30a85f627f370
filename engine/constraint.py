"""Compiled grammars, and following one through an answer.

Compiling is bounded in size and work, done on a thread of its own, once for each grammar that is asked for often. The
library is given exactly the bytes of each token, and of the control tokens only those that end an answer are ever
allowed. What it says about a grammar quotes the grammar, so only the keyword that it speaks of is passed on.

Shapes: v vocabulary.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from torch import Tensor

from engine.errors import BadRequest
from engine.grammar import Grammar
from engine.json_schema import keyword_in, refuse
from engine.logs import log
from engine.tokens import TextTokenizer

MAX_KEPT = 64
"""Compiled grammars that are kept for the next request."""
LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_items_in_row=2_000,
    max_lexer_states=50_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)
"""About 20 ms of work to begin with, 15 ms for a token, and 100 MB."""


class Follower:
    """Where one answer is in its grammar. Belongs to the engine thread."""

    def __init__(self, constraint: Constraint, matcher: LLMatcher) -> None:
        self._constraint, self._matcher = constraint, matcher

    def allowed(self, may_end: bool) -> Tensor | None:
        """Which tokens may come next, bool [v]; None when nothing can but an end that `may_end` rules out."""
        mask_v = _mask(self._matcher)
        self._refuse_if_spent()
        allowed_v = mask_v & (self._constraint.drawable_v if may_end else self._constraint.text_v)
        if allowed_v.any():
            return allowed_v
        if not self._matcher.is_accepting():
            refuse(self._constraint.param, "led to a place in its grammar that no token of this model goes on from")
        return None

    def took(self, token: int) -> None:
        """A token that was allowed is now part of the answer. BadRequest when going there takes too much work."""
        if not self._matcher.consume_token(token):
            self._refuse_if_spent()
            raise AssertionError("an allowed token was refused")

    def _refuse_if_spent(self) -> None:
        if self._matcher.is_error():
            self._constraint.is_spent = True
            refuse(self._constraint.param, "led to a place in its grammar that takes too much work to go on from")

    @property
    def is_complete(self) -> bool:
        """Whether the text is whole and nothing but an end can follow."""
        return self._matcher.is_stopped() and self._matcher.is_accepting()


class Constraint:
    """A compiled grammar. Any number of answers may follow it."""

    def __init__(self, matcher: LLMatcher, param: str, text_v: Tensor, drawable_v: Tensor) -> None:
        self._matcher, self.param, self.text_v, self.drawable_v = matcher, param, text_v, drawable_v
        self.is_spent = False
        """Once what all answers built up together has reached its limit: the next request compiles it again."""

    def begin(self) -> Follower:
        return Follower(self, self._matcher.deep_copy())


class Constraints:
    """The grammars of one model."""

    def __init__(self, tokenizer: TextTokenizer, vocabulary: int, stop_ids: frozenset[int]) -> None:
        """Reads the vocabulary, which takes a second and a half for 200,000 tokens."""
        self._kept: OrderedDict[str, Constraint] = OrderedDict()
        self._lock = threading.Lock()
        self.tokenizer = _tokenizer(tokenizer.to_json(), vocabulary, sorted(stop_ids))
        """None for a vocabulary of a kind that the library cannot read; such a model answers freely only."""
        is_text = map(self._is_text, range(vocabulary))
        self._text_v = torch.tensor(list(is_text))
        self._drawable_v = self._text_v.clone()
        self._drawable_v[[token for token in stop_ids if token < vocabulary]] = True
        self.pool = ThreadPoolExecutor(1, "grammar")
        """Whoever sends grammars that are hard to compile waits behind those, and nobody else does."""

    def compiled(self, grammar: Grammar) -> Constraint:
        """BadRequest when no answer can follow it. Takes up to a second; call it on `pool`."""
        digest = sha256(grammar.text.encode()).hexdigest()
        with self._lock:
            found = self._kept.get(digest)
            if found is None or found.is_spent:
                found = self._kept[digest] = self._compile(grammar)
            self._kept.move_to_end(digest)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
            return found

    def _is_text(self, token: int) -> bool:
        return self.tokenizer is not None and not self.tokenizer.is_special_token(token)

    def _compile(self, grammar: Grammar) -> Constraint:
        if self.tokenizer is None:
            told = "this model's vocabulary is of a kind that answers cannot be constrained for"
            raise BadRequest("no_constraints", told, grammar.param)
        matcher = LLMatcher(self.tokenizer, grammar.text, log_level=0, limits=LIMITS)
        constraint = Constraint(matcher, grammar.param, self._text_v, self._drawable_v)
        first_v = None if matcher.is_error() else _mask(matcher.deep_copy()) & self._text_v
        if first_v is None or not first_v.any():
            refuse(grammar.param, _why(matcher.get_error()))
        return constraint


def _mask(matcher: LLMatcher) -> Tensor:
    """Bool [v], as the library sees it: ends are among what may come where the text is whole."""
    return torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8) != 0


def _why(message: str) -> str:
    if not message or "nsatisfiable" in message:
        return "describes nothing that could be answered"
    if "too large" in message or "fuel" in message or "limit" in message or "too big" in message:
        return "is too large or too intricate to be enforced"
    name = keyword_in(message)
    return f"uses `{name}` in a way that cannot be enforced" if name else "cannot be enforced as it is"


def _tokenizer(raw: str, vocabulary: int, stop_ids: list[int]) -> LLTokenizer | None:
    """The library's own reading of the file, with every added token as a control token, as everywhere here."""
    parsed: dict[str, Any] = json.loads(raw)
    added = [{**token, "special": True} for token in parsed["added_tokens"]]
    try:
        known = len(parsed["model"]["vocab"]) + len(added)
        return LLTokenizer(
            json.dumps(parsed | {"added_tokens": added, "truncation": None, "padding": None}),
            n_vocab=vocabulary,
            eos_token=[token for token in stop_ids if token < known] or None,
        )
    # The library raises plain ValueError, and whatever Rust panics become, for tokenizers that it cannot read.
    except Exception as exc:  # noqa: BLE001
        log.warning("no_constraints", error=type(exc).__name__)
        return None
