"""A sequence classifier as a Guard: text to token windows, one call, the worst window counts.

Tokenising happens here, with the parsing of special tokens switched off and checked afterwards, so that no text can
close its own window. Each part is judged raw and in its views (guards/views.py, guards/decoders.py); equal windows
are sent once. A text without a token in any form (empty, blank, only characters the tokenizer drops) has nothing to
judge: score 0, windows 0. All other text is judged whole or refused; what cannot be read as a verdict is a
GuardError. A batch above INLINE_CHARS is tokenised in a thread; below, the event loop waits at most about 5 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from guards.decoders import decoded
from guards.encoder import Encoder, Row
from guards.endpoint import ClassifyEndpoint
from guards.errors import ErrorKind, GuardError
from guards.model_files import ModelFiles, to_ppm
from guards.options import ClassifierOptions
from guards.verdict import NO_CONTEXT, Context, GuardIdentity, Part, Verdict
from guards.views import normalised
from guards.windows import windows

INLINE_CHARS = 4_096
EXPANSION = 18
"""Characters that one character outside ASCII may become when it is normalised."""
MAX_CHARS = 1 << 19
"""Of one part; more needs more windows than the cap in any language, and half a second of the tokenizer to say so."""
ROWS_PER_CALL = 64
DEFAULTS = ClassifierOptions()


class Classifier:
    """Judges with one classifier model behind one endpoint."""

    def __init__(self, files: ModelFiles, endpoint: ClassifyEndpoint, options: ClassifierOptions = DEFAULTS) -> None:
        profile = files.profile
        self.identity = GuardIdentity(profile.use, f"{profile.use}/1", files.digest)
        self.thresholds = files.thresholds
        self._profile, self._endpoint, self._options = profile, endpoint, options
        self._encoder = Encoder(profile, files.tokenizer_json)
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
            cut = windows(ids, profile.content_window, profile.overlap, self._options.max_windows, profile.use)
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
