"""A sequence classifier as a Guard: text to token windows, one call, the worst window counts.

Tokenising happens here (guards/encoder.py), so that no text can close its own window. Each part is judged in every form
that reads differently (guards/views/); equal windows are sent once, and windows seen before are remembered. A text
without a token in any form (empty, blank, only what the tokenizer drops) has nothing to judge: score 0, windows 0.
All other text is judged whole or refused; what cannot be read as a verdict is a GuardError, and so is text that hides
more text than the decoders follow. A batch above INLINE_CHARS is prepared in a thread; below, the event loop waits some
3 ms, and 15 ms for text that is made to be expensive.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guards.encoder import Encoder, Row
from guards.endpoint import ClassifyEndpoint
from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.memory import Counts, Memory, digest
from guards.model_files import ModelFiles, to_ppm
from guards.options import ClassifierOptions, content_window
from guards.profiles.profile import Profile
from guards.verdict import NO_CONTEXT, Context, GuardIdentity, Part, Scope, Verdict
from guards.views.forms import Form, forms
from guards.windows import windows

INLINE_CHARS = 4_096
EXPANSION = 18
"""Characters that one character outside ASCII may become when it is normalised."""
MAX_CHARS = 1 << 19
"""Of one part; more needs more windows than the cap in any language, and half a second of the tokenizer to say so."""
ROWS_PER_CALL = 64
MOST_LENIENT = 8
"""Windows beyond which a longer text is not judged more leniently."""
DEFAULTS = ClassifierOptions()

Scores = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """The windows of one form of a part that no earlier form had."""

    view: str
    rows: tuple[Row, ...]
    windows: int
    """Of the form, with those that an earlier form had."""


class Classifier:
    """Judges with one classifier model behind one endpoint."""

    def __init__(self, files: ModelFiles, endpoint: ClassifyEndpoint, options: ClassifierOptions = DEFAULTS) -> None:
        profile = files.profile
        self.identity = GuardIdentity(profile.use, f"{profile.use}/3", files.digest)
        self.thresholds = files.thresholds
        self._profile, self._endpoint, self._options = profile, endpoint, options
        self._window = content_window(profile, options)
        self._overlap = _overlap(profile, options)
        self._encoder = Encoder(profile, files.tokenizer_json)
        self._own = [profile.labels.index(label) for label in profile.flagged]
        self._foreign = [profile.labels.index(label) for label in profile.third_party or profile.flagged]
        self._categories = [(code, profile.labels.index(code)) for code in sorted(profile.categories)]
        forms("t0 read all tables before the first request waits for them", options.views)
        self._memory: Memory[Scores] | None = Memory(lambda scores: 32 * len(scores)) if options.memory else None

    @property
    def window_counts(self) -> Counts | None:
        """What the memory of windows did; None without one."""
        return self._memory.counts if self._memory else None

    def reads(self, part: Part, context: Context) -> Iterable[str]:
        """What a verdict depends on: the text alone, and whether labels for third parties count."""
        return ("foreign" if _is_foreign(part) else "own", part.text)

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        texts = [part.text for part in parts]
        if sum(len(text) * (1 if text.isascii() else EXPANSION) for text in texts) <= INLINE_CHARS:
            readings = self._readings(texts)
        else:
            readings = await asyncio.to_thread(self._readings, texts)
        distinct = list(dict.fromkeys(row for part in readings for reading in part for row in reading.rows))
        probs = dict(zip(distinct, await self._scores(distinct, context.tenant), strict=True))
        return [self._verdict(part, found, probs) for part, found in zip(parts, readings, strict=True)]

    def _readings(self, texts: Sequence[str]) -> list[list[_Reading]]:
        return [self._readings_of(text) for text in texts]

    def _readings_of(self, text: str) -> list[_Reading]:
        """Framed windows of every form of the text, those of the raw text first and complete."""
        self._check_length(text)
        found = forms(text, self._options.views)
        if found.is_cut:
            raise self._too_long("a part hides more text inside text than is decoded")
        judged = [form for form in found.forms if form.text]
        self._check_length(max((form.text for form in judged), key=len, default=""))
        readings: list[_Reading] = []
        known: set[Row] = set()
        for form, ids in zip(judged, self._encoder.encode([form.text for form in judged]), strict=True):
            readings.append(self._reading(form, ids, known))
            known.update(readings[-1].rows)
        return readings

    def _reading(self, form: Form, ids: Sequence[int], known: set[Row]) -> _Reading:
        profile = self._profile
        cut = windows(ids, self._window, self._overlap, self._options.max_windows, profile.use)
        framed = (self._encoder.framed(window) for window in cut)
        # A form that reads the same to the model adds nothing.
        return _Reading(form.view, tuple(row for row in framed if row not in known), len(cut))

    async def _scores(self, rows: Sequence[Row], tenant: str) -> Sequence[Scores]:
        if self._memory is None or not rows:
            return await self._classify(rows)
        keys = [digest((tenant, array("I", row).tobytes().decode("latin-1"))) for row in rows]
        return await self._memory.recall(tenant, keys, lambda places: self._classify([rows[at] for at in places]))

    async def _classify(self, rows: Sequence[Row]) -> list[Scores]:
        """One call for ordinary batches; longer ones follow each other, so that one request cannot fill the host."""
        answers: list[Scores] = []
        for low in range(0, len(rows), ROWS_PER_CALL):
            answers += map(tuple, await self._endpoint.classify(rows[low : low + ROWS_PER_CALL]))
        return answers

    def _verdict(self, part: Part, readings: Sequence[_Reading], probs: dict[Row, Scores]) -> Verdict:
        flagged = self._foreign if _is_foreign(part) else self._own
        scored = [(self._score(reading, flagged, probs), reading.view) for reading in readings if reading.rows]
        if not scored:
            return Verdict(0, tuple((code, 0) for code, _ in self._categories), windows=0)
        score, view = max(scored, key=lambda found: found[0])  # the first of equals, so `raw` before any other
        rows = [probs[row] for reading in readings for row in reading.rows]
        categories = tuple((code, to_ppm(max(row[i] for row in rows))) for code, i in self._categories)
        return Verdict(to_ppm(score), categories, windows=len(rows), view=view)

    def _score(self, reading: _Reading, flagged: Sequence[int], probs: dict[Row, Scores]) -> float:
        score = max(min(sum(probs[row][i] for i in flagged), 1.0) for row in reading.rows)
        return lenient(score, reading.windows) if self._options.length_aware else score

    def _check_length(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            raise self._too_long(f"a part has {len(text)} characters, the cap is {MAX_CHARS}")

    def _too_long(self, problem: str) -> GuardError:
        return GuardError(self._profile.use, ErrorKind.TOO_LONG, problem)


def lenient(score: float, count: int) -> float:
    """The odds divided by the number of windows: the worst of many is high by chance more often than one is."""
    share = score / min(max(count, 1), MOST_LENIENT)
    return share / (share + 1.0 - score)


def _is_foreign(part: Part) -> bool:
    """Whether neither the user nor the model wrote it."""
    return part.scope in (Scope.TOOL_RESULT, Scope.TOOL_SCHEMA)


def _overlap(profile: Profile, options: ClassifierOptions) -> int:
    most = content_window(profile, options) // 2
    if options.overlap is not None and options.overlap > most:
        raise GuardSetupError(profile.use, f"expected at most {most}, half of what a window holds", "overlap")
    return min(profile.overlap, most) if options.overlap is None else options.overlap
