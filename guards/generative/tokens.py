"""Prompts to token ids: control tokens where the template put them, and nowhere else.

A tokenizer's file turns `<|eot_id|>` in a user's text into the real control token by default. So a prompt is split at
the control tokens of its literals, each stretch between them is encoded as a whole with the parsing of special tokens
switched off (words merge across the borders of a text, as the model was trained), and the ids are put together. At
start the result is compared with what the tokenizer's own parsing makes of an honest prompt; for every prompt the
control tokens are counted again and have to be the template's.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.template import Shape

Ids = tuple[int, ...]
Piece = str | int | tuple[int, ...]
"""Text that is encoded together with its neighbours, a control token, or ids that no neighbour can change."""
_WORDY = re.compile(r"[^\W_]")
_LEAD = re.compile(r"\S{0,16}\s+")
_NEAR = 64
"""Characters of a literal that are looked at to find out whether a text beside it changes its tokens."""
_BESIDE = (
    *(
        "",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\r\n",
        "\t",
        "a",
        "Z",
        "the",
        " the",
        "7",
        "123",
        ".",
        "?!",
        "'s",
        "'LL",
        '"',
        ":",
        "<",
        ">",
    ),
    *(
        "...",
        "--",
        "/",
        "\\n",
        "_",
        "\u0301",
        "é",
        "ß",
        "你好",
        "ก็",
        "नी",
        "🙂",
        "\u200d",
        "\u00a0",
        "\u3000",
        "\ufeff",
        "\ufffd",
    ),
    *("a\n", "a ", "a.", "a\n\n", "1 ", "\n\na", " \n a \n ", "a:\n", "你\n", "))", "a\t"),
)
"""Texts of every kind that a pattern of a vocabulary tells apart."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """The literals of a shape, each split into texts, control tokens and what is encoded already."""

    literals: tuple[tuple[Piece, ...], ...]
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
        self._has_pattern = _has_pattern(json.loads(tokenizer_json).get("pre_tokenizer"))
        self._borders: dict[tuple[str, str], bool] = {}
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

    def text_of(self, token: int) -> str:
        """What the model has written when it has drawn this token."""
        text: str = self._tokenizer.decode([token], skip_special_tokens=False)
        return text

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
        return Stretches(self._encoded(literals), shape.slots, shape.trims, structure)

    def tail(self, shape: Shape) -> str:
        """What follows the last control token of a prompt: what the model writes joins on to it."""
        last = self._splitter.split(shape.literals[-1])[-1]
        return "" if last in self._added else last

    def _encoded(self, literals: tuple[tuple[str | int, ...], ...]) -> tuple[tuple[Piece, ...], ...]:
        """The literals with their tokens, except for what stands beside a text, if that is safe at every text."""
        made: list[list[Piece]] = [list(literal) for literal in literals]
        if not self._has_pattern or not all(map(self._is_border, made, made[1:])):
            return literals
        for i, pieces in enumerate(made):
            for at in range(len(pieces) - 1, -1, -1):
                piece = pieces[at]
                if isinstance(piece, str):
                    lead, core = _after_text(piece) if at == 0 and i > 0 else ("", piece)
                    core, trail = _before_text(core) if at == len(pieces) - 1 and i < len(made) - 1 else (core, "")
                    pieces[at : at + 1] = [lead, self.words(core), trail]
        return tuple(tuple(pieces) for pieces in made)

    def _is_border(self, before: Sequence[Piece], after: Sequence[Piece]) -> bool:
        """Whether a text between two literals changes no token of either, except right beside it."""
        left = before[-1] if before and isinstance(before[-1], str) else ""
        right = after[0] if after and isinstance(after[0], str) else ""
        near = (left[-_NEAR:], right[:_NEAR])
        if near not in self._borders:
            self._borders[near] = all(map(self._is_apart, [near] * len(_BESIDE), _BESIDE))
        return self._borders[near]

    def _is_apart(self, near: tuple[str, str], text: str) -> bool:
        (head, trail), (lead, rest) = _before_text(near[0]), _after_text(near[1])
        apart = self.words(head) + self.words(trail + text + lead) + self.words(rest)
        return self.words(near[0] + text + near[1]) == apart

    def encode(self, stretches: Stretches, texts: Sequence[str]) -> Ids:
        """The prompt for these texts, or GuardError."""
        pieces: list[Piece] = []
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
            ids += (piece,) if isinstance(piece, int) else piece if isinstance(piece, tuple) else next(encoded).ids
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


def _before_text(literal: str) -> tuple[str, str]:
    """What no text after it can change, and the white space before the text. Without any, all of it can change."""
    head = literal.rstrip()
    return (head, literal[len(head) :]) if head != literal else ("", literal)


def _after_text(literal: str) -> tuple[str, str]:
    """What a text before it may change, up to the first white space, and the rest."""
    lead = _LEAD.match(literal)
    return (literal[: lead.end()], literal[lead.end() :]) if lead else (literal, "")


def _append(pieces: list[Piece], piece: Piece) -> None:
    """Neighbouring texts become one, so that they are encoded as one."""
    last = pieces[-1] if pieces else None
    if isinstance(piece, str) and isinstance(last, str):
        pieces[-1] = last + piece
    elif piece != "":
        pieces.append(piece)


def _has_pattern(pre_tokenizer: object) -> bool:
    """Whether words are told apart by a pattern before they are encoded, so that no token crosses a word's end."""
    if not isinstance(pre_tokenizer, dict):
        return False
    if pre_tokenizer.get("type") == "Sequence":
        return any(map(_has_pattern, pre_tokenizer.get("pretokenizers") or ()))
    is_regex = pre_tokenizer.get("type") == "Split" and "Regex" in (pre_tokenizer.get("pattern") or {})
    return is_regex or (pre_tokenizer.get("type") == "ByteLevel" and pre_tokenizer.get("use_regex", True) is True)


def encodable(text: str) -> str:
    """Lone surrogates never arrive over HTTP; should one appear, it is judged as a replacement character."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
