"""An answer that gives away the system prompt: a canary in it, or a run of its words.

A canary is a string the operator puts into the system prompt and nowhere else; seen in an answer, in whatever view
(guards/views/), it is proof. Without one, `words` in a row that the answer shares with the system prompt count, read
folded and without punctuation. A prompt told in other words, in another language or letter by letter shares no run:
that takes a model. Words that the user's own message holds as well are no leak.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.options import Options
from guards.rules.contextual import ContextualGuard
from guards.rules.terms import plain_words, words_of
from guards.verdict import Context, Part, Span
from guards.views.forms import forms

OPTIONS: Final = frozenset(("words", "canaries"))
LABELS: Final = ("canary", "prompt_words")
USUAL_WORDS: Final = 12
LEAST_CANARY: Final = 8
MAX_TEXT: Final = 1 << 19


class PromptLeakGuard(ContextualGuard):
    """`words` in a row make a leak; `canaries` are exact strings of letters and digits."""

    def __init__(self, words: int = USUAL_WORDS, canaries: Sequence[str] = ()) -> None:
        super().__init__("prompt_leak", 1)
        self._words, self._canaries = words, tuple(sorted(set(canaries)))
        if not all(len(one) >= LEAST_CANARY and one.isascii() and one.isalnum() for one in self._canaries):
            told = (
                f"a canary is {LEAST_CANARY} or more letters and digits of ASCII, such as `openssl rand -hex 8` gives"
            )
            raise GuardSetupError("prompt_leak", told, "canaries")
        self.labels = LABELS if self._canaries else LABELS[1:]
        self.settings = {"words": words} | ({"canaries": self._canaries} if self._canaries else {})
        self.known_after = words * 12

    @classmethod
    def of(cls, options: Options) -> PromptLeakGuard:
        return cls(options.integer("words", 5, 200, USUAL_WORDS), options.strings("canaries", ()))

    def find(self, part: Part, context: Context) -> Iterator[Span]:
        if len(part.text) > MAX_TEXT:
            raise GuardError("prompt_leak", ErrorKind.TOO_LONG, f"a part has more than {MAX_TEXT} characters")
        yield from self._shared(part.text, context)
        if self._canaries:
            yield from sorted(self._canary(part.text))

    def _canary(self, text: str) -> set[Span]:
        made = forms(text)
        if made.is_cut:
            raise GuardError("prompt_leak", ErrorKind.TOO_LONG, "a part hides too much for its views")
        found: set[Span] = set()
        for form in made.forms:
            lowered = form.text.lower()
            for canary in self._canaries if len(lowered) == len(form.text) else ():
                at = lowered.find(canary.lower())
                while at >= 0:
                    found.add(Span(*form.mapped.raw(at, at + len(canary)), "canary"))
                    at = lowered.find(canary.lower(), at + len(canary))
        return found

    def _shared(self, text: str, context: Context) -> Iterator[Span]:
        size = self._words
        secret = {run for turn in context.turns if turn.role == "system" for run in _runs(_plain(turn.text), size)}
        if not secret:
            return
        said = {run for turn in context.turns if turn.role == "user" for run in _runs(_plain(turn.text), size)}
        view = plain_words(text)
        places = [match.span() for match in words_of(view.text)]
        words = [view.text[start:end] for start, end in places]
        first = last = -1
        for at, run in enumerate(_runs(words, size)):
            if run not in secret or run in said:
                continue
            if at > last and last >= 0:
                yield Span(*view.raw(places[first][0], places[last][1]), "prompt_words")
                last = -1
            first = at if last < 0 else first
            last = at + size - 1
        if last >= 0:
            yield Span(*view.raw(places[first][0], places[last][1]), "prompt_words")


def _plain(text: str) -> list[str]:
    return [match.group() for match in words_of(plain_words(text).text)]


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + size]) for at in range(len(words) - size + 1))
