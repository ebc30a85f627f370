"""Text to the ids of its content, never to a special token, for whatever tokenizer.json a classifier brings.

The raw file is loaded as it is: loaders that rebuild a tokenizer from its class drop normalisers that a model was
trained with, and a profile's probes refuse a file that lost them. The parsing of special tokens is switched off; in
vocabularies that hold `[SEP]` as an ordinary piece that is not enough, so a text in which one appears is cut inside it,
as often as needed, by the offsets the tokenizer gave, and an id that still appears is a GuardError.
WordPiece gives up on a whole word that is too long or holds one character it lacks; such words are parted and read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence, Set
from itertools import groupby, pairwise
from typing import TypeAlias

from tokenizers import Encoding, Tokenizer

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.profiles.profile import Framing, Profile

WORD_PIECE = 24
"""WordPiece reads a word of more than about 100 letters as one unknown token; such a word is cut this short."""
CUTS = 4
"""How often a text is cut again: halves of a control token may hold another one."""
_PRESENT, _LACKING = 1, 2

Row = tuple[int, ...]
Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


class Encoder:
    """The tokenizer of one classifier."""

    def __init__(self, profile: Profile, tokenizer_json: str) -> None:
        self._guard = profile.use
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json)
            parsed: dict[str, Json] = json.loads(tokenizer_json)
        # The library raises a bare Exception for every file that it cannot read.
        except Exception as exc:
            raise GuardSetupError(self._guard, "`tokenizer.json` is not a tokenizer") from exc
        # The file may ask for truncation, which would hide the rest of a text.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        framing = profile.framing or self._own_framing(parsed)
        self._opening, self._closing = self._id(framing.opening), self._id(framing.closing)
        self._unknown = self._id(framing.unknown) if framing.unknown else -1
        self._parts_words = _model(parsed).get("type") == "WordPiece"
        self._marks = bytearray(sys.maxunicode + 1)  # asked once of each: a text of all that Unicode has costs seconds
        added = self._tokenizer.get_added_tokens_decoder()
        special = {id_ for id_, token in added.items() if token.special}
        self._special = frozenset(special | {self._opening, self._closing}) - {self._unknown}
        self._probe(profile.probes)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        encodable = [_encodable(text) for text in texts]
        return [self._content(text, found) for text, found in zip(encodable, self._batch(encodable), strict=True)]

    def framed(self, window: Sequence[int]) -> Row:
        return (self._opening, *window, self._closing)

    def _batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Unlike `encode`, the batch call releases the interpreter lock."""
        found: list[Encoding] = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return found

    def _content(self, text: str, found: Encoding) -> list[int]:
        ids = self._unhidden(text, found)
        return ids if self._special.isdisjoint(ids) else self._escaped(text)

    def _escaped(self, text: str) -> list[int]:
        """The ids of the text cut inside every piece that reads as a control token."""
        pieces = [text]
        for _ in range(CUTS):
            cut = [self._cut(piece, found) for piece, found in zip(pieces, self._batch(pieces), strict=True)]
            if all(len(parts) == 1 for parts in cut):
                break
            pieces = [part for parts in cut for part in parts]
        ids = [
            id_
            for piece, found in zip(pieces, self._batch(pieces), strict=True)
            for id_ in self._unhidden(piece, found)
        ]
        if not self._special.isdisjoint(ids):
            raise GuardError(self._guard, ErrorKind.BAD_ANSWER, "the tokenizer made a special token out of text")
        return ids

    def _cut(self, piece: str, found: Encoding) -> list[str]:
        hits = [span for id_, span in zip(found.ids, found.offsets, strict=True) if id_ in self._special]
        middles = sorted({(start + end) // 2 for start, end in hits} - {0, len(piece)})
        return [piece[low:high] for low, high in pairwise([0, *middles, len(piece)])]

    def _unhidden(self, text: str, encoding: Encoding) -> list[int]:
        """The ids, after parting words that the vocabulary gave up on: too long, or with a character it lacks."""
        ids: list[int] = encoding.ids
        if not self._parts_words or self._unknown not in ids:
            return ids
        lost = [span for id_, span in zip(ids, encoding.offsets, strict=True) if id_ == self._unknown]
        lacking = self._lacking({char for start, end in lost for char in text[start:end]})
        pieces, last = [], 0
        for start, end in lost:
            pieces.append(text[last:start])
            pieces += _parted(text[start:end], lacking)
            last = end
        again: list[int] = self._batch([" ".join([*pieces, text[last:]])])[0].ids
        return again

    def _lacking(self, chars: Set[str]) -> Set[str]:
        """Those that make a word unknown, at its beginning or within it: one emoji would hide all its letters."""
        marks = self._marks
        each = sorted(char for char in chars if not marks[ord(char)])
        for char, found in zip(each, self._batch([f"{char} a{char}" for char in each]), strict=True):
            marks[ord(char)] = _LACKING if self._unknown in found.ids else _PRESENT
        return {char for char in chars if marks[ord(char)] == _LACKING}

    def _id(self, token: str) -> int:
        id_: int | None = self._tokenizer.token_to_id(token)
        if id_ is None:
            raise GuardSetupError(self._guard, f"`tokenizer.json` has no token `{token}`")
        return id_

    def _own_framing(self, tokenizer: dict[str, Json]) -> Framing:
        """The two tokens that the file itself puts around one text."""
        around = _around(tokenizer.get("post_processor"))
        if around is None:
            problem = "`tokenizer.json` does not say which tokens frame a text, expected `opening` and `closing`"
            raise GuardSetupError(self._guard, problem)
        unknown = _model(tokenizer).get("unk_token")
        return Framing(*around, unknown if isinstance(unknown, str) else "")

    def _probe(self, probes: Sequence[tuple[str, str]]) -> None:
        for left, right in probes:
            one, other = self.encode([left, right])
            if one != other:
                problem = (
                    f"`tokenizer.json` reads `{left}` and `{right}` differently: its normalisers were lost, "
                    "expected the file as the model's makers published it"
                )
                raise GuardSetupError(self._guard, problem)


def _model(tokenizer: dict[str, Json]) -> dict[str, Json]:
    model = tokenizer.get("model")
    return model if isinstance(model, dict) else {}


def _around(processor: Json) -> tuple[str, str] | None:
    """Opening and closing token of a post-processor, or of the last one of a sequence that has any."""
    if not isinstance(processor, dict):
        return None
    several, single = processor.get("processors"), processor.get("single")
    if isinstance(several, list):
        found = [around for one in several if (around := _around(one))]
        return found[-1] if found else None
    if isinstance(single, list):  # a template: token, text, token
        names = [_special_of(step) for step in single]
        return (names[0], names[2]) if len(names) == 3 and names[0] and not names[1] and names[2] else None
    cls, sep = processor.get("cls"), processor.get("sep")  # BertProcessing and RobertaProcessing
    return (str(cls[0]), str(sep[0])) if isinstance(cls, list) and isinstance(sep, list) else None


def _special_of(step: Json) -> str:
    token = step.get("SpecialToken") if isinstance(step, dict) else None
    name = token.get("id") if isinstance(token, dict) else None
    return name if isinstance(name, str) else ""


def _parted(word: str, lacking: Set[str]) -> Iterator[str]:
    """A word in pieces that are short enough, and are either in the vocabulary's characters or not."""
    for _, chars in groupby(word, lacking.__contains__):
        run = "".join(chars)
        yield from (run[i : i + WORD_PIECE] for i in range(0, len(run), WORD_PIECE))


def _encodable(text: str) -> str:
    """Lone surrogates never arrive over HTTP; should one appear, it is judged as a replacement character."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
