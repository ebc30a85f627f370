"""What an entry of `guards:` may say beyond where the model is, and the profile that comes of it.

Most profiles ship whole. A few leave facts to the configuration: a label classifier its labels, a causal guard its
words, a moderation service its categories. What a policy decides (which categories are asked about) is not an option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from guards.generative.options import CHOICE, known_options, read_options
from guards.options import CLASSIFIER_OPTIONS, MEMORY_OPTION
from guards.profiles import label_classifier, moderation_api
from guards.profiles.generative import GenerativeProfile, Subject
from guards.profiles.known import PROFILES
from guards.profiles.profile import ModelProfile, Profile

OF_THE_POLICY: Final = frozenset({"categories", "context", "max_windows", *CHOICE})
"""Options of generative guards that a detector of a policy has, so that the policy alone says what is judged."""
_Make = Callable[[str, Mapping[str, object]], ModelProfile]
MADE: Final[Mapping[str, tuple[frozenset[str], _Make]]] = MappingProxyType(
    {
        label_classifier.USE: (label_classifier.OPTIONS, label_classifier.label_classifier),
        moderation_api.USE: (moderation_api.OPTIONS, moderation_api.moderation_api),
    }
)
"""Profiles that exist only as an entry describes them: their options, and what makes one of them."""
NAMES: Final = (*PROFILES, *MADE)
"""Every name that a configuration may write after `profile:`."""


@dataclass(frozen=True, slots=True)
class Configured:
    """A profile as one configuration means it."""

    profile: ModelProfile
    options: Mapping[str, object]
    """What the guard is built with, besides the options of a detector."""


def options_of(name: str) -> frozenset[str]:
    """What an entry with this profile may say."""
    if name in MADE:
        return MADE[name][0]
    profile = PROFILES[name]
    return frozenset(known_options(profile)) - OF_THE_POLICY if isinstance(profile, GenerativeProfile) else frozenset()


def detector_options(profile: ModelProfile) -> frozenset[str]:
    """What a detector of a policy may say when a model with this profile judges for it."""
    if isinstance(profile, GenerativeProfile):
        return frozenset(known_options(profile)) & (OF_THE_POLICY | {"mode"}) | {MEMORY_OPTION}
    return CLASSIFIER_OPTIONS if isinstance(profile, Profile) else frozenset({MEMORY_OPTION})


def configured(name: str, use: str, values: Mapping[str, object]) -> Configured:
    """The profile `name` for the guard `use`. Raises GuardSetupError, which names the option."""
    if name in MADE:
        return Configured(MADE[name][1](use, values), MappingProxyType({}))
    profile = PROFILES[name]
    if not isinstance(profile, GenerativeProfile):
        return Configured(profile, MappingProxyType({}))
    # A model that is asked one guideline a prompt gets them from the policy. One stands in while the rest is checked.
    stand_in = {"custom": {"C1": "a guideline"}} if profile.subject is Subject.GUIDELINE else {}
    described, _ = read_options(profile, {**stand_in, **values})
    return Configured(described, MappingProxyType(dict(values)))
