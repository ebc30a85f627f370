"""The options of a generative guard: values of a YAML file to a frozen value, or a GuardSetupError that names one.

Read without a model at hand, so that a policy check finds what is wrong with them. Nothing here is optional in
silence: an unknown name is refused, and so is one that the profile has no use for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from guards.errors import GuardSetupError
from guards.generative.selection import Selection
from guards.options import MEMORY_OPTION, Options
from guards.profiles.generative import CODE, AnswerForm, Content, GenerativeProfile, Subject

Choice = TypeVar("Choice", bound=StrEnum)
MAX_WINDOWS = 64
LEAST_MASS = 0.5
"""Below this much probability on the verdict's words the model is saying something else."""
MAX_CUSTOM, MAX_DESCRIPTION = 32, 8_000
SHARED = (
    *("categories", "categories_from", "context", "mass_floor", "max_windows", MEMORY_OPTION, "mode", "template"),
    *("token_ids", "window"),
)
CHOICE = ("custom", "exclude")
GENERIC = (
    "bos",
    "codes",
    "content",
    "ends",
    "names",
    "opening",
    "safe",
    "speakers",
    "text",
    "turns",
    "unsafe",
    "whole",
)
"""What only `causal_guard` leaves to its configuration."""


class Mode(StrEnum):
    """How the verdict is got."""

    SCORE = "score"
    """From the probabilities of the verdict's words."""
    GENERATE = "generate"
    """From the answer's text, for servers that tell no probabilities: the score is 0 or 1,000,000."""


class Hears(StrEnum):
    """How much of the conversation a part is judged with."""

    CONVERSATION = "conversation"
    """Alone, and again with what was said before; the worse counts."""
    LAST = "last"
    """Alone: the last turn and no other."""


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """What a configuration says beyond the profile."""

    selection: Selection
    mass_floor: float = LEAST_MASS
    categories_from: float = 0.05
    mode: Mode = Mode.SCORE
    window: int = 0
    """0: the profile's."""
    max_windows: int = MAX_WINDOWS
    template: Path | None = None
    """A file to use in place of the checkpoint's own template."""
    token_ids: bool | None = None
    """Whether the server is asked for the tokens by id; None: if it is our model host."""
    memory: bool = True
    """Whether verdicts may be remembered by content."""
    context: Hears = Hears.CONVERSATION


def known_options(profile: GenerativeProfile) -> tuple[str, ...]:
    """Names that this profile takes."""
    extra = (*CHOICE, *GENERIC) if is_generic(profile) else CHOICE
    return tuple(sorted((*SHARED, *extra)))


def is_generic(profile: GenerativeProfile) -> bool:
    return profile.use == "causal_guard"


def read_options(profile: GenerativeProfile, values: Mapping[str, object]) -> tuple[GenerativeProfile, GuardOptions]:
    """The profile as configured, and the options. Raises GuardSetupError."""
    reader = _Reader(profile.use, values)
    reader.refuse_unknown(known_options(profile))
    if is_generic(profile):
        profile = _configured(profile, reader)
    selection = Selection(
        guard=profile.use,
        known=profile.names,
        wanted=reader.strings("categories"),
        excluded=reader.strings("exclude"),
        custom=reader.texts("custom", MAX_CUSTOM),
    )
    _check_choice(profile, selection)
    template = reader.string("template", "")
    token_ids = values.get("token_ids")
    if token_ids is not None and not isinstance(token_ids, bool):
        raise reader.error("token_ids", "expected true or false")
    options = GuardOptions(
        selection,
        reader.number("mass_floor", LEAST_MASS, LEAST_MASS, 1.0),
        reader.number("categories_from", 0.05, 0.0, 1.0),
        reader.one_of("mode", Mode, Mode.SCORE),
        reader.integer("window", profile.window, 64, 1 << 20),
        reader.integer("max_windows", MAX_WINDOWS, 1, MAX_WINDOWS),
        Path(template) if template else None,
        token_ids,
        Options(profile.use, values, set(values)).switch(MEMORY_OPTION, True),
        reader.one_of("context", Hears, Hears.CONVERSATION),
    )
    if options.mode is Mode.GENERATE and not profile.rewritable:
        raise reader.error("mode", "this profile has no answer grammar, expected `score`")
    return profile, options


def _check_choice(profile: GenerativeProfile, selection: Selection) -> None:
    if profile.subject is Subject.GUIDELINE and not selection.custom:
        problem = "missing: this model is asked one policy a prompt, expected their codes and texts"
        raise GuardSetupError(profile.use, problem, "custom")
    if profile.subject is Subject.NONE and not profile.rewritable and selection.is_choice:
        option = "categories" if selection.wanted else "exclude" if selection.excluded else "custom"
        raise GuardSetupError(profile.use, "this model's categories cannot be chosen", option)


def _configured(profile: GenerativeProfile, reader: _Reader) -> GenerativeProfile:
    """The generic profile, its facts from the configuration."""
    try:
        answer = AnswerForm(
            safe=reader.strings("safe") or profile.answer.safe,
            unsafe=reader.strings("unsafe") or profile.answer.unsafe,
            opening=reader.string("opening", ""),
            text=reader.string("text", ""),
            is_token=reader.flag("whole", True),
            codes=reader.string("codes", ""),
        )
        return replace(
            profile,
            answer=answer,
            names=reader.texts("names", 256),
            content=reader.one_of("content", Content, Content.STRING),
            bos=reader.string("bos", ""),
            ends=reader.strings("ends"),
            speakers=reader.strings("speakers") or profile.speakers,
            turns=reader.integer("turns", 0, 0, 64),
        )
    except ValueError as exc:
        raise GuardSetupError(profile.use, str(exc)) from exc


class _Reader:
    """Values of one mapping, each of the type it should be."""

    def __init__(self, guard: str, values: Mapping[str, object]) -> None:
        self._guard, self._values = guard, values

    def error(self, option: str, problem: str) -> GuardSetupError:
        return GuardSetupError(self._guard, problem, option)

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        if unknown := sorted(map(str, set(self._values) - set(known))):
            raise self.error(unknown[0], f"unknown, expected one of {', '.join(known)}")

    def strings(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name, ())
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
            raise self.error(name, "expected a list of strings")
        if name in self._values and not value:
            raise self.error(name, "empty")
        return tuple(value)

    def texts(self, name: str, most: int) -> tuple[tuple[str, str], ...]:
        value = self._values.get(name, {})
        if not isinstance(value, Mapping) or len(value) > most:
            raise self.error(name, f"expected a mapping of at most {most} codes to texts")
        for code, text in value.items():
            if not isinstance(code, str) or not CODE.fullmatch(code):
                raise self.error(name, "a code is not a letter followed by letters and digits")
            if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_DESCRIPTION:
                raise self.error(name, f"`{code}`: expected a text of 1 to {MAX_DESCRIPTION} characters")
        return tuple((str(code), str(text).strip()) for code, text in value.items())

    def string(self, name: str, default: str) -> str:
        value = self._values.get(name, default)
        if not isinstance(value, str):
            raise self.error(name, "expected a string")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "expected true or false")
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self._values.get(name, default)
        if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
            raise self.error(name, f"expected a number from {low:g} to {high:g}")
        return float(value)  # type: ignore[arg-type]

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self._values.get(name, default)
        if type(value) is not int or not low <= value <= high:
            raise self.error(name, f"expected a whole number from {low} to {high}")
        return value

    def one_of(self, name: str, choices: type[Choice], default: Choice) -> Choice:
        value = self._values.get(name, default.value)
        if not isinstance(value, str) or value not in tuple(choices):
            raise self.error(name, f"expected one of {', '.join(choices)}")
        return choices(value)
