"""A sequence classifier as a Guard: text to token windows, one call, the worst window counts.

Tokenising happens here, with the parsing of special tokens switched off and checked afterwards, so that no text can
close its own window. Each part is judged raw and in its views (guards/views.py, guards/decoders.py); equal windows
are sent once. A text without a token in any form (empty, blank, only characters the tokenizer drops) has nothing to
judge: score 0, windows 0. All other text is judged whole or refused; what cannot be read as a verdict is a
GuardError. A batch above INLINE_CHARS is tokenised in a thread; below, the event loop waits at most about 5 ms.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence, Set
from itertools import groupby

from tokenizers import Encoding, Tokenizer

from guards.decoders import decoded
from guards.endpoint import ClassifyEndpoint
from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.model_files import ModelFiles, to_ppm
from guards.profiles.profile import Framing
from guards.verdict import NO_CONTEXT, Context, GuardIdentity, Part, Verdict
from guards.views import normalised
from guards.windows import windows

INLINE_CHARS = 4_096
EXPANSION = 18
"""Characters that one character outside ASCII may become when it is normalised."""
MAX_CHARS = 1 << 19
"""Of one part; more needs more windows than the cap in any language, and half a second of the tokenizer to say so."""
MAX_WINDOWS = 128
"""Of one form of one part: about 53,000 tokens, more than a deadline leaves time for on a CPU."""
ROWS_PER_CALL = 64
WORD_PIECE = 24
"""WordPiece reads a word of more than about 100 letters as one unknown token; such a word is cut this short."""

_PRESENT, _LACKING = 1, 2

Row = tuple[int, ...]


class Classifier:
    """Judges with one classifier model behind one endpoint."""

    def __init__(self, files: ModelFiles, endpoint: ClassifyEndpoint, max_windows: int = MAX_WINDOWS) -> None:
        profile = files.profile
        if profile.framing is None:
            raise GuardSetupError(profile.use, "the profile describes no sequence classifier")
        self.identity = GuardIdentity(profile.use, f"{profile.use}/1", files.digest)
        self.thresholds = files.thresholds
        self._profile, self._endpoint, self._max_windows = profile, endpoint, max_windows
        self._encoder = _Encoder(profile.use, files.tokenizer_json, profile.framing)
        self._flagged = [profile.labels.index(label) for label in profile.flagged]
        self._categories = [(code, profile.labels.index(code)) for code in sorted(profile.categories)]

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        texts = [part.text for part in parts]
        if sum(len(text) * (1 if text.isascii() else EXPANSION) for text in texts) <= INLINE_CHARS:
            rows_by_part = self._rows(texts)
        else:
            rows_by_part = await asyncio.to_thread(self._rows, texts)
        distinct = list(dict.fromkeys(row for rows in rows_by_part for row in rows))
        probs = dict(zip(distinct, await self._classify(distinct), strict=True))
        return [self._verdict([probs[row] for row in rows]) for rows in rows_by_part]

    def _rows(self, texts: Sequence[str]) -> list[list[Row]]:
        """Framed windows of every form of every text, those of the raw text first and complete."""
        return [self._rows_of(text) for text in texts]

    def _rows_of(self, text: str) -> list[Row]:
        profile = self._profile
        self._check_length(text)
        forms = dict.fromkeys(form for form in (text, normalised(text), decoded(text)) if form)
        self._check_length(max(forms, key=len, default=""))
        rows: list[Row] = []
        for ids in self._encoder.encode(list(forms)):
            cut = windows(ids, profile.content_window, profile.overlap, self._max_windows, profile.use)
            framed = [self._encoder.framed(window) for window in cut]
            known = frozenset(rows)  # a form that reads the same to the model adds nothing
            rows += [row for row in framed if row not in known]
        return rows

    async def _classify(self, rows: Sequence[Row]) -> list[list[float]]:
        """One call for ordinary batches; longer ones follow each other, so that one request cannot fill the host."""
        answers: list[list[float]] = []
        for low in range(0, len(rows), ROWS_PER_CALL):
            answers += await self._endpoint.classify(rows[low : low + ROWS_PER_CALL])
        return answers

    def _verdict(self, rows: Sequence[Sequence[float]]) -> Verdict:
        if not rows:
            return Verdict(0, tuple((code, 0) for code, _ in self._categories), windows=0)
        score = max(min(sum(row[i] for i in self._flagged), 1.0) for row in rows)
        categories = tuple((code, to_ppm(max(row[i] for row in rows))) for code, i in self._categories)
        return Verdict(to_ppm(score), categories, windows=len(rows))

    def _check_length(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            problem = f"a part has {len(text)} characters, the cap is {MAX_CHARS}"
            raise GuardError(self._profile.use, ErrorKind.TOO_LONG, problem)


class _Encoder:
    """Text to the ids of its content, never to a special token."""

    def __init__(self, guard: str, tokenizer_json: str, framing: Framing) -> None:
        self._guard = guard
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json)
        # The library raises a bare Exception for every file that it cannot read.
        except Exception as exc:
            raise GuardSetupError(guard, "`tokenizer.json` is not a tokenizer") from exc
        # The file may ask for truncation, which would hide the rest of a text.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self._opening, self._closing = self._id(framing.opening), self._id(framing.closing)
        self._unknown = self._id(framing.unknown)
        added = self._tokenizer.get_added_tokens_decoder()
        special = {id_ for id_, token in added.items() if token.special}
        self._marks = bytearray(sys.maxunicode + 1)  # asked once of each: a text of all that Unicode has costs seconds
        self._special = frozenset(special | {self._opening, self._closing}) - {self._unknown}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        # Unlike `encode`, the batch call releases the interpreter lock.
        encodings = self._tokenizer.encode_batch(list(map(_encodable, texts)), add_special_tokens=False)
        return [self._checked(self._unhidden(text, found)) for text, found in zip(texts, encodings, strict=True)]

    def framed(self, window: Sequence[int]) -> Row:
        return (self._opening, *window, self._closing)

    def _unhidden(self, text: str, encoding: Encoding) -> list[int]:
        """The ids, after parting words that the vocabulary gave up on: too long, or with a character it lacks."""
        ids: list[int] = encoding.ids
        if self._unknown not in ids:
            return ids
        lost = [span for id_, span in zip(ids, encoding.offsets, strict=True) if id_ == self._unknown]
        lacking = self._lacking({char for start, end in lost for char in text[start:end]})
        pieces, last = [], 0
        for start, end in lost:
            pieces.append(text[last:start])
            pieces += _parted(text[start:end], lacking)
            last = end
        parted = _encodable(" ".join([*pieces, text[last:]]))
        again: list[int] = self._tokenizer.encode_batch([parted], add_special_tokens=False)[0].ids
        return again

    def _lacking(self, chars: Set[str]) -> Set[str]:
        """Those that make a word unknown, at its beginning or within it: one emoji would hide all its letters."""
        marks = self._marks
        each = sorted(char for char in chars if not marks[ord(char)])
        probes = [_encodable(f"{char} a{char}") for char in each]
        encodings = self._tokenizer.encode_batch(probes, add_special_tokens=False)
        for char, found in zip(each, encodings, strict=True):
            marks[ord(char)] = _LACKING if self._unknown in found.ids else _PRESENT
        return {char for char in chars if marks[ord(char)] == _LACKING}

    def _checked(self, ids: list[int]) -> list[int]:
        if not self._special.isdisjoint(ids):
            raise GuardError(self._guard, ErrorKind.BAD_ANSWER, "the tokenizer made a special token out of text")
        return ids

    def _id(self, token: str) -> int:
        id_: int | None = self._tokenizer.token_to_id(token)
        if id_ is None:
            raise GuardSetupError(self._guard, f"`tokenizer.json` has no token `{token}`")
        return id_


def _parted(word: str, lacking: Set[str]) -> Iterator[str]:
    """A word in pieces that are short enough, and are either in the vocabulary's characters or not."""
    for _, chars in groupby(word, lacking.__contains__):
        run = "".join(chars)
        yield from (run[i : i + WORD_PIECE] for i in range(0, len(run), WORD_PIECE))


def _encodable(text: str) -> str:
    """Lone surrogates never arrive over HTTP; should one appear, it is judged as a replacement character."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
