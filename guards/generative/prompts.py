"""From one part and its conversation to the prompts that judge it, every token of the text in one of them.

Each form of the text is judged alone (an answer: after the end of its question), and the text as it is also at the end
of its conversation. Alone, because harmless talk before it dilutes what is judged; with the conversation, because a
harmless sentence may not be one there. What is too long for one prompt is judged alone in overlapping windows, and of
the conversation the oldest turns are left out: they have been judged when they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.conversation import Texts, alone, judged_text, latest, turns_before, without_oldest
from guards.generative.pictured import Shown
from guards.generative.sanitise import Sanitiser
from guards.generative.template import GuardTemplate
from guards.generative.tokens import GuardTokenizer, Ids, Stretches
from guards.profiles.generative import GenerativeProfile
from guards.verdict import Context, Part
from guards.views.forms import forms
from guards.windows import windows

VIEWS = ("raw", "normalised", "decoded")
"""Forms that tell a model more than the raw text does; it reads the others itself."""
MAX_CHARS = 1 << 19
MAX_TURNS = 100
"""Of a conversation, the last; what came before has been judged when it came."""
RESERVE = 64
"""Tokens of a prompt left for the answer, all codes named."""
SLACK = 16
"""By how many tokens a window may grow when it is read in its place."""
ALONE, CONVERSATION = "alone", "conversation"
Known = dict[tuple[Texts, str], Ids]
"""Prompts of one part that are encoded already. It ends with the part: no text is kept."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a prompt asks about, where a model is asked one thing at a time."""

    code: str = ""
    variables: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to the model."""

    ids: Ids
    side: int
    view: str
    subject: str = ""
    shown: Shown | None = None
    """The picture that it judges."""


@dataclass(frozen=True, slots=True)
class Asked:
    """All questions about one part."""

    prompts: tuple[Prompt, ...]
    windows: int
    """How many prompts were needed to see all of the text, judged alone."""


class Prompter:
    """Makes the prompts of one guard."""

    def __init__(
        self,
        profile: GenerativeProfile,
        template: GuardTemplate,
        tokenizer: GuardTokenizer,
        subjects: Sequence[Subject],
        window: int,
        max_windows: int,
    ) -> None:
        self._profile, self._template, self._tokenizer = profile, template, tokenizer
        self._subjects, self._limit, self._max_windows = tuple(subjects), window - RESERVE, max_windows
        self._sanitiser = Sanitiser(tokenizer.controls, profile.speakers)
        self._stretches: dict[tuple[int, str], Stretches] = {}
        for subject in self._subjects:
            if self._room(("", "") if profile.turns else ("",), subject) <= profile.overlap:
                told = f"a window of {window} tokens leaves no room beside the template"
                raise GuardSetupError(profile.use, told, "window")

    def asked(self, part: Part, context: Context) -> Asked:
        """The prompts for one part. No text, no prompts. Raises GuardError."""
        text = judged_text(part)
        if not text.strip():
            return Asked((), 0)
        self._check_length(text)
        found = forms(text, VIEWS)
        if found.is_cut:
            raise GuardError(self._profile.use, ErrorKind.TOO_LONG, "a part hides more text than is decoded")
        before = self._clean(alone(part, context))
        clean = [(form.view, self._sanitiser.clean(form.text)) for form in found.forms]  # the raw text first
        prompts: list[Prompt] = []
        known: Known = {}
        count = 0
        for view, judged in clean:
            cut = list(self._windows(before, judged, known))
            count = count or len(cut)
            name = ALONE if view == "raw" else view
            prompts += [self._prompt(piece, subject, name, known) for piece in cut for subject in self._subjects]
        prompts += self._in_conversation(part, context, before, clean[0][1], known)
        return Asked(tuple(prompts), count)

    def _in_conversation(
        self, part: Part, context: Context, before: Texts, text: str, known: Known
    ) -> Iterator[Prompt]:
        turns = self._clean(latest(turns_before(part, context), (self._profile.turns or MAX_TURNS) - 1))
        for subject in self._subjects:
            fitting = self._fitting(turns, text, subject, known)
            if fitting is not None and fitting != before:
                yield self._prompt((*fitting, text), subject, CONVERSATION, known)

    def _fitting(self, turns: Texts, text: str, subject: Subject, known: Known) -> Texts | None:
        """As many of the last turns as fit; None if the text itself does not."""
        if sum(map(len, turns)) + len(text) > self._limit // 2:  # few are certain to fit, and need not be counted
            sizes = [len(self._tokenizer.words(turn)) for turn in turns]
            room = self._limit - len(self._tokenizer.words(text))
            while sum(sizes) > room and len(turns) >= 2:
                turns, sizes = without_oldest(turns), sizes[2:]
        while len(self._encode((*turns, text), subject, known)) > self._limit:
            if len(turns) < 2:
                return None
            turns = without_oldest(turns)
        return turns

    def _windows(self, before: Texts, text: str, known: Known) -> Iterator[Texts]:
        """The conversation that judges the text alone, as often as its length needs."""
        if all(len(self._encode((*before, text), subject, known)) <= self._limit for subject in self._subjects):
            yield (*before, text)
            return
        size = min(self._room((*before, ""), subject) for subject in self._subjects)
        if size <= self._profile.overlap:
            before = ("",) * len(before)
            size = min(self._room((*before, ""), subject) for subject in self._subjects)
        spans = self._tokenizer.spans(text)
        for window in windows(range(len(spans)), size, self._profile.overlap, self._max_windows, self._profile.use):
            yield (*before, text[spans[window[0]][0] : spans[window[-1]][1]])

    def _room(self, texts: Texts, subject: Subject) -> int:
        """Tokens left for a text that takes the place of the last of these, which is empty."""
        return self._limit - SLACK - len(self._encode(texts, subject, {}))

    def _prompt(self, texts: Texts, subject: Subject, view: str, known: Known) -> Prompt:
        ids = self._encode(texts, subject, known)
        if len(ids) > self._limit + SLACK:
            raise GuardError(self._profile.use, ErrorKind.TOO_LONG, f"a prompt has {len(ids)} tokens")
        return Prompt(ids, (len(texts) - 1) % 2, view, subject.code)

    def _encode(self, texts: Texts, subject: Subject, known: Known) -> Ids:
        ids = known.get((texts, subject.code))
        if ids is None:
            ids = known[texts, subject.code] = self._tokenizer.encode(self.stretches(len(texts), subject), texts)
        return ids

    def stretches(self, turns: int, subject: Subject) -> Stretches:
        """The template for so many turns, ready for texts."""
        found = self._stretches.get((turns, subject.code))
        if found is None:
            shape = self._template.shape(turns, subject.code, subject.variables)
            found = self._stretches[turns, subject.code] = self._tokenizer.split(shape)
        return found

    def _clean(self, texts: Texts) -> Texts:
        return tuple(map(self._sanitiser.clean, texts))

    def _check_length(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            problem = f"a part has {len(text)} characters, the cap is {MAX_CHARS}"
            raise GuardError(self._profile.use, ErrorKind.TOO_LONG, problem)
