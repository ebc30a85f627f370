"""The prompts that judge a picture: at the place where the checkpoint's template puts one, with the text beside it.

A picture is judged with the text of its own message, alone and at the end of its conversation, since a harmless picture
may not be one after a question. Its place comes from the template: what that writes for a picture is one control token,
which the model host replaces by the picture's own tokens. A template that writes none cannot show pictures, and its
guard then judges none. A server elsewhere is told the same turns, for its own template; what is too long for the prompt
here is not sent there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from guards.errors import ErrorKind, GuardError
from guards.generative.conversation import QUESTION_CHARS, Texts, latest, turns_before, without_oldest
from guards.generative.sanitise import Sanitiser
from guards.generative.template import GuardTemplate
from guards.generative.tokens import GuardTokenizer, Ids, Stretches
from guards.profiles.generative import GenerativeProfile
from guards.verdict import Context, Part

MARK = "<|image|>"
"""What templates write where a picture belongs."""
PICTURE_TOKENS = 2_467
"""The most that one makes of a prompt: sixteen tiles and the whole."""
MOST_TURNS = 100


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture in a prompt."""

    at: int
    """Before which token."""
    url: str = field(repr=False)
    texts: Texts = field(repr=False)
    """The turns of the prompt, for a server that puts it together itself."""


class PicturePrompter:
    """Of one guard."""

    def __init__(
        self, profile: GenerativeProfile, template: GuardTemplate, tokenizer: GuardTokenizer, limit: int
    ) -> None:
        self._profile, self._template, self._tokenizer = profile, template, tokenizer
        self._limit = limit - PICTURE_TOKENS
        self._sanitiser = Sanitiser(tokenizer.controls, profile.speakers)
        self._stretches: dict[int, Stretches] = {}
        self._mark = next(iter(tokenizer.known((MARK,))), None)
        has_place = profile.sees and self._mark is not None and template.marks(MARK) == 1
        self._shows = has_place and self._limit > 0
        """Whether the template has a place for a picture."""

    def asked(self, part: Part, context: Context) -> list[tuple[Ids, Shown, str]]:
        """(prompt without its mark, picture, view), the picture with its own message first."""
        if self._mark is None or not self._shows:
            raise GuardError(self._profile.use, ErrorKind.BAD_ANSWER, "this guard reads text and was given an image")
        own = context.own(part)
        text = self._sanitiser.clean(own.text if own is not None else "")
        if len(self._encoded((text,))) > self._limit:
            text = text[-QUESTION_CHARS:]  # all of it is judged as text, too
        prompts = [(*self._placed((text,), part), "alone")]
        turns = self._fitting(tuple(map(self._sanitiser.clean, latest(turns_before(part, context), MOST_TURNS))), text)
        if any(turns):
            prompts.append((*self._placed((*turns, text), part), "conversation"))
        return prompts

    def _fitting(self, turns: Texts, text: str) -> Texts:
        while turns and len(self._encoded((*turns, text))) > self._limit:
            turns = without_oldest(turns)
        return turns

    def _placed(self, texts: Texts, part: Part) -> tuple[Ids, Shown]:
        ids = self._encoded(texts)
        if len(ids) > self._limit:
            raise GuardError(self._profile.use, ErrorKind.TOO_LONG, f"a prompt has {len(ids)} tokens beside a picture")
        at = ids.index(self._mark)  # the tokenizer has seen to it that there is one
        return ids[:at] + ids[at + 1 :], Shown(at, part.picture, tuple(texts))

    def _encoded(self, texts: Sequence[str]) -> Ids:
        turns = len(texts)
        if turns not in self._stretches:
            self._stretches[turns] = self._tokenizer.split(self._template.shape(turns, has_picture=True))
        return self._tokenizer.encode(self._stretches[turns], texts)
