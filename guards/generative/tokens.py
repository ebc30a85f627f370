"""Prompts to token ids: control tokens where the template put them, and nowhere else.

A tokenizer's file turns `<|eot_id|>` in a user's text into the real control token by default. So a prompt is split at
the control tokens of its literals, each stretch between them is encoded as a whole with the parsing of special tokens
switched off (words merge across the borders of a text, as the model was trained), and the ids are put together. At
start the result is compared with what the tokenizer's own parsing makes of an honest prompt; for every prompt the
control tokens are counted again and have to be the template's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.template import Shape

Ids = tuple[int, ...]
_WORDY = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Stretches:
    """The literals of a shape, each split into texts and control tokens (`str` and `int`)."""

    literals: tuple[tuple[str | int, ...], ...]
    slots: tuple[int, ...]
    trims: bool
    structure: Counter[int]
    """How often each control token has to be in the prompt."""


class GuardTokenizer:
    """The tokenizer of one guard."""

    def __init__(self, guard: str, tokenizer_json: str, bos: str = "") -> None:
        self._guard = guard
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json)
        # The library raises a bare Exception for every file that it cannot read.
        except Exception as exc:
            raise GuardSetupError(guard, "`tokenizer.json` is not a tokenizer") from exc
        # The file may ask for truncation, which would hide the rest of a text.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = self._tokenizer.get_added_tokens_decoder()
        self._added = {token.content: id_ for id_, token in added.items() if _WORDY.search(token.content)}
        self.special = frozenset(id_ for id_, token in added.items() if token.special)
        self.controls = tuple(sorted(token.content for token in added.values() if token.special))
        """Written forms of the special tokens, for whoever removes them from texts."""
        names = sorted(self._added, key=len, reverse=True)
        self._splitter = re.compile(f"({'|'.join(map(re.escape, names))})") if names else re.compile(r"(\b\B)")
        self._bos = self.id_of(bos) if bos else None
        self._tokenizer.encode_special_tokens = True

    def id_of(self, token: str) -> int:
        """The id of one token as the vocabulary writes it."""
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None:
            raise GuardSetupError(self._guard, f"`tokenizer.json` has no token `{token}`")
        return found

    @property
    def size(self) -> int:
        """How many ids there are, control tokens included."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return max(vocabulary.values()) + 1

    def known(self, tokens: Sequence[str]) -> frozenset[int]:
        """Ids of those tokens that there are."""
        found = (self._tokenizer.token_to_id(token) for token in tokens)
        return frozenset(id_ for id_ in found if id_ is not None)

    def words(self, text: str) -> Ids:
        """Ids of a text that the model itself would write; no control token."""
        ids: list[int] = self._tokenizer.encode(encodable(text), add_special_tokens=False).ids
        return tuple(ids)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends, in characters."""
        encodings = self._tokenizer.encode_batch([encodable(text)], add_special_tokens=False)
        spans: list[tuple[int, int]] = encodings[0].offsets
        return spans

    def split(self, shape: Shape) -> Stretches:
        """The literals of a shape made ready. Done once for each."""
        literals = tuple(
            tuple(self._added.get(piece, piece) for piece in self._splitter.split(literal) if piece)
            for literal in shape.literals
        )
        structure = Counter(piece for literal in literals for piece in literal if isinstance(piece, int))
        if self._bos is not None and structure[self._bos] != 1:
            raise GuardSetupError(self._guard, f"the template has {structure[self._bos]} tokens that begin a text")
        return Stretches(literals, shape.slots, shape.trims, structure)

    def encode(self, stretches: Stretches, texts: Sequence[str]) -> Ids:
        """The prompt for these texts, or GuardError."""
        pieces: list[str | int] = []
        for literal, slot in zip(stretches.literals, (*stretches.slots, None), strict=True):
            for piece in literal:
                _append(pieces, piece)
            if slot is not None:
                text = texts[slot].strip() if stretches.trims else texts[slot]
                _append(pieces, encodable(text))
        runs = [piece for piece in pieces if isinstance(piece, str)]
        encoded = iter(self._tokenizer.encode_batch(runs, add_special_tokens=False))
        ids: list[int] = []
        for piece in pieces:
            ids += (piece,) if isinstance(piece, int) else next(encoded).ids
        self._check(ids, stretches.structure)
        return tuple(ids)

    def check(self, stretches: Stretches, texts: Sequence[str], prompt: str) -> None:
        """An honest prompt comes out as the tokenizer's own parsing of control tokens has it."""
        ours = self.encode(stretches, texts)
        self._tokenizer.encode_special_tokens = False
        try:
            theirs = tuple(self._tokenizer.encode(prompt, add_special_tokens=False).ids)
        finally:
            self._tokenizer.encode_special_tokens = True
        if ours != theirs:
            at = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), -1)
            told = f"the tokenizer reads text beside a control token in another way (token {at} of {len(theirs)})"
            raise GuardSetupError(self._guard, told)

    def _check(self, ids: Sequence[int], structure: Counter[int]) -> None:
        found = Counter(id_ for id_ in ids if id_ in self.special or id_ in structure)
        if found != structure:
            raise GuardError(self._guard, ErrorKind.BAD_ANSWER, "the tokenizer made a control token out of text")


def _append(pieces: list[str | int], piece: str | int) -> None:
    """Neighbouring texts become one, so that they are encoded as one."""
    if isinstance(piece, str) and pieces and isinstance(pieces[-1], str):
        pieces[-1] += piece
    elif piece != "":
        pieces.append(piece)


def encodable(text: str) -> str:
    """Lone surrogates never arrive over HTTP; should one appear, it is judged as a replacement character."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
