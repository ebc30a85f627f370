"""The options of a detector as a policy writes them, read once, with every problem under the option's name.

Values come as plain YAML values. What is unknown, of the wrong type or out of range is a GuardSetupError: a policy that
loads does what it says. The policy package reads the same options from its file and passes on what this accepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from guards.errors import GuardSetupError
from guards.profiles.profile import Profile

MAX_WINDOWS = 128
"""Of one form of one part: about 53,000 tokens of 512, more than a deadline leaves time for on a CPU."""
MAX_OVERLAP = 4_096
VIEWS = ("raw", "normalised", "skeleton", "unspaced", "leet", "decoded", "code")
"""Forms of a text in which a guard may read it. `raw` is always among them."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one detector, none of them unknown."""

    use: str
    values: Mapping[str, object]
    known: Set[str]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.values) - self.known):
            raise GuardSetupError(self.use, f"unknown, expected one of {', '.join(sorted(self.known))}", unknown[0])

    def strings(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.values.get(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise GuardSetupError(self.use, "expected a list of strings", key)
        return tuple(value)

    def string(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise GuardSetupError(self.use, "missing" if value is None else "expected a string", key)
        return value

    def texts(self, key: str) -> dict[str, str]:
        """A mapping of names to texts; empty when it is left out."""
        value = self.values.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in (*value, *value.values())):
            raise GuardSetupError(self.use, "expected a mapping of names to texts", key)
        return dict(value)

    def among(self, key: str, known: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of names out of a fixed set, in the order of that set."""
        found = self.strings(key, default)
        if unknown := sorted(set(found) - set(known)):
            raise GuardSetupError(self.use, f"`{unknown[0]}` is not one of {', '.join(known)}", key)
        return tuple(name for name in known if name in found)

    def integer(self, key: str, low: int, high: int, default: int) -> int:
        value = self.values.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise GuardSetupError(self.use, f"expected a whole number from {low} to {high}", key)
        return value

    def switch(self, key: str, default: bool) -> bool:
        """`true` and `false`, also as `on` and `off`."""
        value = self.values.get(key, default)
        if value in ("on", "off"):
            return value == "on"
        if not isinstance(value, bool):
            raise GuardSetupError(self.use, "expected `on` or `off`", key)
        return value


MEMORY_OPTION = "memory"
CLASSIFIER_OPTIONS = frozenset({"views", "length_aware", "overlap", "max_windows", "segment", "reduce", MEMORY_OPTION})
"""As they are written."""
_KEPT = (CLASSIFIER_OPTIONS | {"window"}) - {"segment", "reduce"}
"""As they are kept: `segment` says `window` and `overlap`, and `reduce` says what holds without it."""
LEAST_WINDOW = 64


def is_remembered(use: str, values: Mapping[str, object]) -> bool:
    """Whether the verdicts of a model guard are to be remembered; whatever its kind, unless its options say `off`."""
    return Options(use, {key: values[key] for key in (MEMORY_OPTION,) if key in values}, {MEMORY_OPTION}).switch(
        MEMORY_OPTION, True
    )


@dataclass(frozen=True, slots=True)
class ClassifierOptions:
    """How a sequence classifier reads text."""

    views: tuple[str, ...] = VIEWS
    length_aware: bool = False
    """Whether many windows need a higher score. Off unless chosen: with it, padding lowers a score."""
    overlap: int | None = None
    """Tokens that neighbouring windows share; None: the profile's."""
    max_windows: int = MAX_WINDOWS
    memory: bool = True
    window: int | None = None
    """Tokens that are read at once, special tokens included; None: as many as the model can."""


def classifier_options(use: str, values: Mapping[str, object]) -> ClassifierOptions:
    """The options of a detector whose guard is a sequence classifier, or GuardSetupError."""
    options = Options(use, _with_segment(use, values), CLASSIFIER_OPTIONS | _KEPT)
    if options.values.get("reduce", "max") != "max":
        raise GuardSetupError(use, "expected `max`: the worst window counts", "reduce")
    values = options.values
    overlap = options.integer("overlap", 0, MAX_OVERLAP, 0) if "overlap" in values else None
    return ClassifierOptions(
        views=options.among("views", VIEWS, VIEWS),
        length_aware=options.switch("length_aware", False),
        overlap=overlap,
        max_windows=options.integer("max_windows", 1, MAX_WINDOWS, MAX_WINDOWS),
        memory=options.switch(MEMORY_OPTION, True),
        window=options.integer("window", LEAST_WINDOW, MAX_OVERLAP, LEAST_WINDOW) if "window" in values else None,
    )


def _with_segment(use: str, values: Mapping[str, object]) -> Mapping[str, object]:
    """`segment: {tokens: 512, overlap: 128}` as the options that it stands for."""
    segment = values.get("segment")
    if segment is None:
        return values
    if not isinstance(segment, Mapping) or not {"tokens"} <= set(segment) <= {"tokens", "overlap"}:
        raise GuardSetupError(use, "expected `{tokens: N}`, perhaps with `overlap: N`", "segment")
    if "overlap" in segment and "overlap" in values:
        raise GuardSetupError(use, "is said twice, beside `segment` and in it", "overlap")
    if any(type(value) is not int for value in segment.values()) or not segment["tokens"] >= LEAST_WINDOW:
        raise GuardSetupError(use, f"expected whole numbers, `tokens` at least {LEAST_WINDOW}", "segment")
    others = {key: value for key, value in values.items() if key != "segment"}
    return others | {"window" if key == "tokens" else key: value for key, value in segment.items()}


def content_window(profile: Profile, options: ClassifierOptions) -> int:
    """Tokens of a text that are read at once. Raises GuardSetupError for more than the model can."""
    if options.window is None:
        return profile.content_window
    if options.window > profile.window:
        raise GuardSetupError(profile.use, f"expected at most {profile.window} tokens, the model's window", "segment")
    return options.window - (profile.window - profile.content_window)
