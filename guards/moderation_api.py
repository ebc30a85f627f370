"""A moderation service as a Guard: texts to `POST /v1/moderations`, its category scores to verdicts.

The score is the highest of all category scores the service gives, also of one that nobody configured: what it flags is
for the policy to weigh, not for this code to leave out. Answers are read strictly; whatever is not a complete set of
numbers between 0 and 1 for every text is a GuardError. There are no retries. Texts go to the one address that the
configuration names and are neither logged nor kept here.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from guards.asking import ask, bad
from guards.errors import GuardError
from guards.model_files import to_ppm
from guards.profiles.moderation_api import ModerationProfile
from guards.verdict import NO_CONTEXT, Context, GuardIdentity, Part, Verdict
from guards.windows import windows

TEXTS_PER_CALL = 32
MAX_WINDOWS = 64
MAX_ANSWER_BYTES = 1 << 20
Scores = dict[str, float]


class ModerationGuard:
    """Judges with one service."""

    def __init__(self, profile: ModerationProfile, client: httpx.AsyncClient, url: str, model: str) -> None:
        self.identity = GuardIdentity(profile.use, "moderation_api/1", profile=profile.use, model=model)
        self._profile, self._client, self._model = profile, client, model
        self._url = f"{url.rstrip('/')}/moderations"

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        pieces = [self._pieces(part.text) for part in parts]
        distinct = list(dict.fromkeys(piece for some in pieces for piece in some))
        scores: dict[str, Scores] = {}
        for low in range(0, len(distinct), TEXTS_PER_CALL):
            texts = distinct[low : low + TEXTS_PER_CALL]
            scores |= zip(texts, await self._asked(texts), strict=True)
        return [self._verdict([scores[piece] for piece in some]) for some in pieces]

    def _pieces(self, text: str) -> list[str]:
        """All of the text, in overlapping pieces. Blank text has nothing to judge."""
        profile = self._profile
        if not text.strip():
            return []
        cut = windows(range(len(text)), profile.window, profile.overlap, MAX_WINDOWS, profile.use)
        return [text[piece[0] : piece[-1] + 1] for piece in cut]

    def _verdict(self, found: Sequence[Scores]) -> Verdict:
        codes = sorted(self._profile.categories)
        worst = {code: max((scores[code] for scores in found), default=0.0) for code in codes}
        score = max((value for scores in found for value in scores.values()), default=0.0)
        return Verdict(to_ppm(score), tuple((code, to_ppm(worst[code])) for code in codes), windows=len(found))

    async def _asked(self, texts: Sequence[str]) -> list[Scores]:
        message = {"model": self._model, "input": [_encodable(text) for text in texts]}
        answer = await ask(self._profile.use, self._client, self._url, message, MAX_ANSWER_BYTES)
        results = answer.get("results")
        if not isinstance(results, list) or len(results) != len(texts):
            raise self._bad(f"the answer has not {len(texts)} results")
        return [self._scores(result, index) for index, result in enumerate(results)]

    def _scores(self, result: object, index: int) -> Scores:
        found = result.get("category_scores") if isinstance(result, dict) else None
        flagged = result.get("flagged") if isinstance(result, dict) else None
        if not isinstance(found, dict) or type(flagged) is not bool:
            raise self._bad(f"result {index} has no `category_scores` and `flagged`")
        if missing := sorted(set(self._profile.categories) - set(found)):
            raise self._bad(f"result {index} has no score for `{missing[0]}`")
        if not all(_is_probability(score) for score in found.values()):
            raise self._bad(f"result {index} holds a score that is not a number from 0 to 1")
        if flagged and not any(found.values()):
            raise self._bad(f"result {index} is flagged with no score above 0")
        return {str(code): float(score) for code, score in found.items()}

    def _bad(self, problem: str) -> GuardError:
        return bad(self._profile.use, problem)


def _is_probability(value: object) -> bool:
    """Comparison with NaN is false, so NaN is refused here, too."""
    return type(value) in (int, float) and 0.0 <= value <= 1.0  # type: ignore[operator]


def _encodable(text: str) -> str:
    """Lone surrogates never arrive over HTTP; should one appear, it is judged as a replacement character."""
    return text.encode("utf-8", "replace").decode()
