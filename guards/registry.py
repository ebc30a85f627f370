"""From the name and options that a policy writes to a Guard, or a GuardSetupError that names the option.

The policy package checks its detectors by building the rules here; guards that need a model are checked by `check` and
built once the front knows where their models are. Options come as the plain values of a YAML file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from guards.classifier import MAX_WINDOWS, Classifier
from guards.endpoint import ClassifyEndpoint
from guards.errors import GuardSetupError
from guards.model_files import read_model
from guards.profiles.profile import Activation, Profile
from guards.profiles.starter_hazard import STARTER_HAZARD
from guards.profiles.starter_injection import STARTER_INJECTION
from guards.rules.base import RuleGuard
from guards.rules.regex import RegexGuard
from guards.rules.secret_patterns import LABELS as SECRET_LABELS
from guards.rules.secrets import SecretsGuard
from guards.rules.special_tokens import DEFAULT_FAMILIES, SpecialTokensGuard
from guards.rules.unicode import LABELS as UNICODE_LABELS
from guards.rules.unicode import UnicodeGuard
from guards.verdict import Guard

PROFILES: Mapping[str, Profile] = {profile.use: profile for profile in (STARTER_INJECTION, STARTER_HAZARD)}
STARTER_DIRECTORIES = {
    "starter_injection": Path(__file__).parent / "starter" / "injection",
    "starter_hazard": Path(__file__).parent / "starter" / "hazard",
}
"""Where the shipped models lie; a configuration may name other directories."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where one model runs, and where its tokenizer and manifest are."""

    directory: Path
    client: httpx.AsyncClient
    model: str
    """The name under which the endpoint serves it."""
    weights_required: bool = True
    """False for servers that do not say which weights answered."""
    url: str = "http://model-host"
    """Up to, and without, `/classify`; on a unix socket the host name is never looked up."""


def check(use: str, options: Mapping[str, object]) -> None:
    """Whether a policy may write this, without a model at hand. Raises GuardSetupError."""
    if use in PROFILES:
        _max_windows(_Options(use, options, {"max_windows"}))
    else:
        _rule(use, options)


def build(use: str, options: Mapping[str, object], sources: Mapping[str, ModelSource]) -> Guard:
    """The guard, ready to judge. `sources` is by `use`."""
    profile = PROFILES.get(use)
    if profile is None:
        return _rule(use, options)
    if use not in sources:
        raise GuardSetupError(use, "no endpoint is configured for its model")
    return _classifier(profile, _Options(use, options, {"max_windows"}), sources[use])


def _classifier(profile: Profile, options: _Options, source: ModelSource) -> Classifier:
    files = read_model(profile, source.directory)
    endpoint = ClassifyEndpoint(
        guard=profile.use,
        client=source.client,
        url=source.url.rstrip("/"),
        model=source.model,
        num_classes=len(profile.labels),
        sums_to_one=profile.activation is Activation.SOFTMAX,
        weights=files.digest,
        weights_required=source.weights_required,
    )
    return Classifier(files, endpoint, _max_windows(options))


def _max_windows(options: _Options) -> int:
    value = options.values.get("max_windows", MAX_WINDOWS)
    if type(value) is not int or not 1 <= value <= MAX_WINDOWS:
        raise GuardSetupError(options.use, f"expected a whole number from 1 to {MAX_WINDOWS}", "max_windows")
    return value


def _rule(use: str, options: Mapping[str, object]) -> RuleGuard:
    if use not in _RULES:
        raise GuardSetupError(use, f"there is no such guard, expected one of {', '.join(USES)}")
    keys, make = _RULES[use]
    return make(_Options(use, options, keys))


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of one detector, none of them unknown."""

    use: str
    values: Mapping[str, object]
    known: set[str]

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


def _regex(options: _Options) -> RuleGuard:
    if options.values.get("engine", "re2") != "re2":
        raise GuardSetupError("regex", "expected `re2`, the only engine", "engine")
    return RegexGuard(options.string("pattern"), options.string("label", "match"))


_RULES: Mapping[str, tuple[set[str], Callable[[_Options], RuleGuard]]] = {
    "unicode": ({"find"}, lambda o: UnicodeGuard(o.strings("find", UNICODE_LABELS))),
    "special_tokens": (
        {"families", "extra"},
        lambda o: SpecialTokensGuard(o.strings("families", DEFAULT_FAMILIES), o.strings("extra", ())),
    ),
    "secrets": ({"find"}, lambda o: SecretsGuard(o.strings("find", SECRET_LABELS))),
    "regex": ({"pattern", "label", "engine"}, _regex),
}
USES = (*PROFILES, *_RULES)
"""Every name that a policy may write after `use:`."""
