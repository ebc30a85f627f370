"""An answer that gives away the system prompt: a canary in it, or a run of its words.

A canary is a string the operator puts into the system prompt and nowhere else; seen in an answer, in whatever view
(guards/views/) or spelling (canaries.py), it is proof. Without one, `words` in a row that the answer shares with the
system prompt count, read folded and without punctuation, in every view as well: letter by letter or in Base64 it is the
same prompt. Told in other words or in another language it shares no run; that takes a model. Words that the user said
are no leak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.options import Options
from guards.rules.base import compile_re2, matches
from guards.rules.canaries import spellings
from guards.rules.contextual import ContextualGuard, Find
from guards.rules.terms import plain_words, words_of
from guards.verdict import Context, Part, Span
from guards.views.forms import forms

OPTIONS: Final = frozenset(("words", "canaries"))
LABELS: Final = ("canary", "prompt_words")
USUAL_WORDS: Final = 8
LEAST_CANARY: Final = 8
MAX_TEXT: Final = 1 << 19


class PromptLeakGuard(ContextualGuard):
    """`words` in a row make a leak; `canaries` are strings of letters and digits, in any case."""

    def __init__(self, words: int = USUAL_WORDS, canaries: Sequence[str] = ()) -> None:
        super().__init__("prompt_leak", 3)
        given = sorted(set(canaries))  # in their own case, which an encoding keeps
        self._words, self._canaries = words, tuple(sorted({one.lower() for one in given}))
        if not all(len(one) >= LEAST_CANARY and one.isascii() and one.isalnum() for one in self._canaries):
            told = (
                f"a canary is {LEAST_CANARY} or more letters and digits of ASCII, such as `openssl rand -hex 8` gives"
            )
            raise GuardSetupError("prompt_leak", told, "canaries")
        spelled = "|".join(map(spellings, given))
        self._pattern = compile_re2(f"(?i){spelled}", captures=False) if given else None
        self.labels = LABELS if self._canaries else LABELS[1:]
        self.settings = {"words": words} | ({"canaries": self._canaries} if self._canaries else {})
        self.known_after = words * 12

    @classmethod
    def of(cls, options: Options) -> PromptLeakGuard:
        return cls(options.integer("words", 5, 200, USUAL_WORDS), options.strings("canaries", ()))

    def finder(self, context: Context) -> Find:
        secret = self._runs_of("system", context)
        if not secret and not self._canaries:
            return lambda part: iter(())
        secret -= self._runs_of("user", context)
        return partial(self._find, secret=secret)

    def _find(self, part: Part, secret: set[tuple[str, ...]]) -> Iterator[Span]:
        made = forms(part.text) if len(part.text) <= MAX_TEXT else None
        if made is None or made.is_cut:
            raise GuardError("prompt_leak", ErrorKind.TOO_LONG, "a part is too long, or hides too much, for its views")
        found = {
            Span(*form.mapped.raw(start, end), label)
            for form in made.forms
            for start, end, label in (*self._shared(form.text, secret), *self._told(form.text))
        }
        return iter(sorted(_outermost(found)))

    def _runs_of(self, role: str, context: Context) -> set[tuple[str, ...]]:
        return {run for turn in context.turns if turn.role == role for run in _runs(_plain(turn.text), self._words)}

    def _told(self, text: str) -> Iterator[tuple[int, int, str]]:
        if self._pattern is not None:
            for match in matches(self._pattern, text):
                yield *match.span(), "canary"

    def _shared(self, text: str, secret: set[tuple[str, ...]]) -> Iterator[tuple[int, int, str]]:
        """Stretches of the text whose every run of so many words is in the prompt."""
        view = plain_words(text)
        places = [match.span() for match in words_of(view.text)]
        words = [view.text[start:end] for start, end in places]
        first = last = -1
        for at, run in enumerate(_runs(words, self._words)):
            if run not in secret:
                continue
            if last >= 0 and at > last:
                yield *view.raw(places[first][0], places[last][1]), "prompt_words"
                last = -1
            first = at if last < 0 else first
            last = at + self._words - 1
        if last >= 0:
            yield *view.raw(places[first][0], places[last][1]), "prompt_words"


def _outermost(found: Iterable[Span]) -> Iterator[Span]:
    """Without those inside another with their label: an encoded canary is found as it stands and in a view."""
    last: Span | None = None
    for span in sorted(found, key=lambda one: (one.label, one.start, -one.end)):
        if last is None or last.label != span.label or span.end > last.end:
            last = span
            yield span


def _plain(text: str) -> list[str]:
    return [match.group() for match in words_of(plain_words(text).text)]


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + size]) for at in range(len(words) - size + 1))
