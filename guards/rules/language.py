"""Which languages a text is written in, by py3langid's model, which is part of that package: nothing is downloaded.

A text is read in segments, so that a passage in another language is not outvoted by the rest. A segment with fewer than
LEAST letters, or whose language is not clear, counts as `unknown`, never as the language that is likeliest. Why this
library: docs/decisions/0016-language-by-py3langid.md. The model takes some 0.7 s and 90 MiB, so it is read when a guard
is built to judge, once in a process, and not when a policy is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Final, Protocol

from guards.options import Options
from guards.rules.base import INLINE_OTHER, RuleGuard
from guards.verdict import PPM, Part, Span, Verdict

UNKNOWN: Final = "unknown"
LEAST: Final = 20
"""Letters of a segment below which nothing is said: on shorter texts three in ten answers are wrong."""
SURE: Final = 0.4
SEGMENT: Final = 500
_LETTER: Final = re.compile(r"[^\W\d_]")
_NOISE: Final = re.compile(r"(?:https?://|www\.)\S+|[\d_{}\[\]<>|=#*`\\/]+")
_WORD: Final = re.compile(r"\S+")
_CODES: Final = (
    "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo fr "
    "fuv fy ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km kn ko "
    "ku ky la lb lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no nso oc om or pa pcm pl ps pt qu ro ru "
    "rw sa sdh se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo "
    "yue zh zu "
)
LANGUAGES: Final = tuple(_CODES.split())
"""By ISO 639 code, as the model names them."""
CODES: Final = (*LANGUAGES, UNKNOWN)


class Identifier(Protocol):
    """What is used of the library."""

    def classify(self, text: str) -> tuple[str, float]: ...


class LanguageGuard(RuleGuard):
    """Names languages as categories, each with a score of 1, and points at no characters."""

    def __init__(self) -> None:
        super().__init__("language", 2)
        self.labels = ()

    @classmethod
    def of(cls, options: Options) -> LanguageGuard:
        return cls()

    def spans(self, text: str) -> Iterator[Span]:
        return iter(())

    def ready(self) -> None:
        _identifier()

    def is_quick(self, parts: Sequence[Part]) -> bool:
        """Only with the model at hand."""
        return bool(_LOADED) and sum(len(part.text) for part in parts) <= INLINE_OTHER // 4

    def _verdict(self, text: str) -> Verdict:
        found = dict.fromkeys(_language(segment) for segment in _segments(text))
        named = [code for code in found if code != UNKNOWN] or [UNKNOWN]
        return Verdict(0, categories=tuple((code, PPM) for code in sorted(named)))


def _segments(text: str) -> Iterator[str]:
    """Of at most SEGMENT characters, ended where a word ends if there is one to end."""
    clean, at = _NOISE.sub(" ", _WORD.sub(_unless_address, text) if "@" in text else text), 0
    while at < len(clean):
        end = at + SEGMENT
        if end < len(clean) and (space := clean.rfind(" ", at + SEGMENT // 2, end)) > 0:
            end = space
        yield clean[at:end]
        at = end


def _unless_address(word: re.Match[str]) -> str:
    """A pattern for `a@b` would read a long word once from each of its characters."""
    return " " if "@" in word[0][1:-1] else word[0]


def _language(segment: str) -> str:
    letters = sum(1 for _ in _LETTER.finditer(segment))
    # A character of Chinese, Japanese or Korean says about as much as two letters.
    if letters + sum("\u2e80" <= char <= "\uffdc" for char in segment) < LEAST:
        return UNKNOWN
    code, confidence = _identifier().classify(segment)
    return code if confidence >= SURE and code != "zxx" else UNKNOWN


_LOADED: Final[list[Identifier]] = []
_LOADING: Final = Lock()


def _identifier() -> Identifier:
    with _LOADING:
        if not _LOADED:
            # Imported here because it brings numpy, which a front without this guard does without.
            from py3langid.langid import MODEL_FILE, LanguageIdentifier

            _LOADED.append(LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True))
        return _LOADED[0]
