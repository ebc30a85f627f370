"""The names a policy may use: guards with their options and categories, and the words of later versions.

The loader checks a policy against this table, so that a rule which could never match does not load. A word of the
policy language that this version does not have is listed too: it is refused under its own name, because a policy that
loads does what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from guards.profiles.generative import GenerativeProfile
from guards.profiles.known import PROFILES
from guards.profiles.profile import ModelProfile
from guards.rules import known
from guards.rules.known import RuleKind
from guards.rules.secret_patterns import GROUPS as SECRET_GROUPS
from guards.rules.secret_patterns import LABELS as SECRET_LABELS
from guards.rules.special_tokens import DEFAULT_FAMILIES
from guards.rules.special_tokens import NAMES as TOKEN_FAMILIES
from guards.rules.unicode import LABELS as UNICODE_LABELS
from guards.rules.unicode import USUAL as UNICODE_USUAL
from guards.verdict import Scope

TEXT_SCOPES: Final = known.TEXT_SCOPES


@dataclass(frozen=True, slots=True)
class Names:
    """An option that is a list of names out of a fixed set."""

    known: tuple[str, ...]
    default: tuple[str, ...]
    """What leaving the option out means."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Names that stand for several; the compiled policy holds what they stand for."""

    def expand(self, names: Iterable[str]) -> tuple[str, ...]:
        """Sorted, without repeats, groups resolved."""
        return tuple(sorted({one for name in names for one in self.groups.get(name, (name,))}))


@dataclass(frozen=True, slots=True)
class GuardFacts:
    """What the loader has to know of a guard to check a detector and the rules that ask it."""

    is_model: bool
    """Models answer with a probability and can be faked in tests; the others run for real there."""
    gives_spans: bool = False
    categories: tuple[str, ...] = ()
    names: Mapping[str, Names] = field(default_factory=lambda: MappingProxyType({}))
    labels_from: str = ""
    """The option whose names its spans are labelled with."""
    takes_pattern: bool = False
    scopes: frozenset[Scope] = TEXT_SCOPES
    rule: RuleKind | None = None
    """Of a guard without a model that reads its options itself: they, and what its places are called, come from it."""
    profile: ModelProfile | None = None
    """What the model is; None for a guard without one."""
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """What a configuration says of the model beyond its profile."""


def _finder(option: str, names: Names) -> GuardFacts:
    return GuardFacts(is_model=False, gives_spans=True, names=MappingProxyType({option: names}), labels_from=option)


def _own(kind: RuleKind) -> GuardFacts:
    spans = not kind.categories
    return GuardFacts(is_model=False, gives_spans=spans, categories=kind.categories, rule=kind, scopes=kind.scopes)


def facts_of(profile: ModelProfile, options: Mapping[str, object] = MappingProxyType({})) -> GuardFacts:
    """What a policy may say of a guard with this profile."""
    scopes = frozenset(Scope) if isinstance(profile, GenerativeProfile) and profile.sees else TEXT_SCOPES
    categories = tuple(profile.categories)
    return GuardFacts(is_model=True, categories=categories, scopes=scopes, profile=profile, options=options)


KNOWN_GUARDS: Final[Mapping[str, GuardFacts]] = MappingProxyType(
    {
        **{use: facts_of(profile) for use, profile in PROFILES.items()},
        "unicode": _finder("find", Names(UNICODE_LABELS, UNICODE_USUAL)),
        "special_tokens": _finder("families", Names(TOKEN_FAMILIES, DEFAULT_FAMILIES)),
        "secrets": _finder("find", Names(SECRET_LABELS, SECRET_LABELS, MappingProxyType(SECRET_GROUPS))),
        "regex": GuardFacts(is_model=False, gives_spans=True, takes_pattern=True),
        **{use: _own(kind) for use, kind in known.KINDS.items() if kind.is_own_reader},
    }
)
"""By the name after `use:`."""

LATER_GUARDS: Final[tuple[str, ...]] = ()
LATER_TOP: Final = ("lists", "sinks")
LATER_DEFAULTS: Final = ("dialect",)
LATER_LIMITS: Final = ("files", "timeout")
LATER_DETECTOR: Final = ("extra",)
LATER_RULE: Final = ("branch",)
LATER_SCOPES: Final = ("admin",)
LATER_ACTIONS: Final = ("transform", "webhook")
LATER_FACTS: Final = ("requester",)
LATER_MATCHERS: Final = ("reduce",)
"""Of a detector."""
LATER_SEND: Final = ("response_format",)
CLIENT_CLAIMS: Final = ("language", "purpose", "role", "data_class")
"""What a client may say of its request where its key lets it."""
CLAIMS: Final = (*CLIENT_CLAIMS, "desk")
"""Facts that a key of the configuration sets, or lets the client set. A policy adds its own under `claims:`."""
SURE_FACTS: Final = ("tenant", "app", "model", "upstream", "tool", "tool_context")
FACTS: Final = (*SURE_FACTS, *CLAIMS)
TOOL_CONTEXTS: Final = ("none", "untrusted")
COMBINATIONS: Final = ("any", "all", "not")
