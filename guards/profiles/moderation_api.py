"""A moderation service that speaks OpenAI's `/v1/moderations`: what a configuration says of one.

    guards:
      clinic_filter: {profile: moderation_api, url: "http://filter.clinic.example/v1", model: filter-2}

The service's categories are the codes. Nothing else is known here: what it was trained for and how well it does is what
its owner says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from guards.errors import GuardSetupError
from guards.options import Options
from guards.profiles.profile import Figure, Kind, Task

USE: Final = "moderation_api"
"""What a configuration writes after `profile:`."""
OPTIONS: Final = frozenset({"categories", "kind", "window", "overlap"})
OPENAI: Final = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)


@dataclass(frozen=True, slots=True)
class ModerationProfile:
    """One service. Its window and overlap are characters: only the service knows its tokens."""

    use: str
    categories: tuple[str, ...] = OPENAI
    kind: Kind = Kind.HAZARD
    window: int = 4_000
    """Characters a call; longer text goes in pieces, because services cut what is too long without saying so."""
    overlap: int = 200
    title: str = "A moderation service"
    architecture: str = ""
    languages: tuple[str, ...] = ("as the service says",)
    licence: str = "as the service says"
    figures: tuple[Figure, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.window:
            raise ValueError(f"profile `{self.use}`: overlap is {self.overlap}, window is {self.window}")
        if not self.categories or len(set(self.categories)) != len(self.categories):
            raise ValueError(f"profile `{self.use}`: expected categories that differ")

    @property
    def task(self) -> Task:
        return Task.MODERATE

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        return tuple((code, code) for code in self.categories)


def moderation_api(use: str, values: Mapping[str, object]) -> ModerationProfile:
    """The profile that the options of one entry of `guards:` describe, or GuardSetupError."""
    options = Options(use, values, OPTIONS)
    kind = options.string("kind", Kind.HAZARD)
    if kind not in tuple(Kind):
        raise GuardSetupError(use, f"expected one of {', '.join(Kind)}", "kind")
    window = options.integer("window", 100, 1_000_000, 4_000)
    overlap = options.integer("overlap", 0, window - 1, min(200, window // 4))
    try:
        return ModerationProfile(use, options.strings("categories", OPENAI), Kind(kind), window, overlap)
    except ValueError as exc:
        raise GuardSetupError(use, str(exc), "categories") from exc
