"""From the name and options that a policy writes to a Guard, or a GuardSetupError that names the option.

The policy package checks its detectors by building the rules here; guards that need a model are checked by `check` and
built once the front knows where their models are. Options come as the plain values of a YAML file. A kind of model is
one type of profile and one builder in _BUILDERS; nothing else here knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from guards.classifier import Classifier
from guards.endpoint import ClassifyEndpoint
from guards.errors import GuardSetupError
from guards.generative.guard import build as build_generative
from guards.generative.options import read_options as generative_options
from guards.memory import Remembering, everything
from guards.model_files import read_model
from guards.moderation_api import ModerationGuard
from guards.options import MEMORY_OPTION, classifier_options, is_remembered
from guards.profiles.generative import GenerativeProfile
from guards.profiles.known import PROFILES
from guards.profiles.moderation_api import ModerationProfile
from guards.profiles.profile import Activation, ModelProfile, Profile
from guards.rules.base import RuleGuard
from guards.rules.known import KINDS, make
from guards.verdict import Guard, GuardIdentity

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
    """For one peer; it adds that peer's credentials and connect timeout to each call."""
    model: str
    """The name under which the endpoint serves it."""
    weights_required: bool = True
    """False for servers that do not say which weights answered."""
    url: str = "http://model-host"
    """What the call's path follows: `/classify` comes right after the origin, `/completions` after `…/v1`. On a unix
    socket the host name is never looked up."""
    profile: ModelProfile | None = None
    """None: the profile that has the name after `use:`."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What a configuration says beyond the profile; the options of a detector are added to it."""

    @property
    def is_remote(self) -> bool:
        """Whether a server other than our model host runs it."""
        return not self.weights_required


def check(use: str, options: Mapping[str, object]) -> None:
    """Whether a policy may write this, without a model at hand. Raises GuardSetupError."""
    profile = PROFILES.get(use)
    if profile is None:
        _rule(use, options)
    elif isinstance(profile, GenerativeProfile):
        is_remembered(use, options)
        generative_options(profile, {key: value for key, value in options.items() if key != MEMORY_OPTION})
    else:
        classifier_options(use, options)


def build(use: str, options: Mapping[str, object], sources: Mapping[str, ModelSource]) -> Guard:
    """The guard, ready to judge. `sources` is by `use`. Reads what it needs from disk: not for an event loop."""
    if use in KINDS:
        rule = _rule(use, options)
        rule.ready()
        return rule
    source = sources.get(use)
    profile = (source.profile if source else None) or PROFILES.get(use)
    if profile is None:
        return _rule(use, options)
    if source is None:
        raise GuardSetupError(use, "no endpoint is configured for its model")
    for kind, builder in _BUILDERS:
        if isinstance(profile, kind):
            wanted = {**source.options, **options}
            is_kept = is_remembered(use, wanted)
            if not isinstance(profile, Profile):
                wanted.pop(MEMORY_OPTION, None)  # a classifier remembers its windows, too
            guard = builder(profile, wanted, source)
            return _remembering(guard, profile, wanted) if is_kept else guard
    raise GuardSetupError(use, f"no guard is known for profile `{profile.use}`")


def _remembering(guard: Guard, profile: ModelProfile, options: Mapping[str, object]) -> Remembering:
    """Classifiers know how little their verdicts depend on; of others, everything they are told is taken for it."""
    settings = repr((profile.use, sorted(options.items(), key=lambda item: item[0])))
    return Remembering(guard, guard.reads if isinstance(guard, Classifier) else everything, settings)


def identity(use: str, guard: Guard, sources: Mapping[str, ModelSource]) -> GuardIdentity:
    """What records cite: the guard's own identity, under the name that the policy used, and where a server runs it."""
    source = sources.get(use)
    if use in KINDS or source is None:
        return guard.identity
    model = source.model if source.is_remote else ""
    profile = source.profile.use if source.profile else use
    return replace(guard.identity, use=use, profile=profile, model=model)


def _classifier(profile: Profile, options: Mapping[str, object], source: ModelSource) -> Guard:
    chosen = classifier_options(profile.use, options)
    files = read_model(profile, source.directory, remote=source.is_remote)
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
    return Classifier(files, endpoint, chosen)


_BUILDERS: tuple[tuple[type[Any], Callable[[Any, Mapping[str, object], ModelSource], Guard]], ...] = (
    (Profile, _classifier),
    (GenerativeProfile, build_generative),
    (ModerationProfile, lambda profile, _options, at: ModerationGuard(profile, at.client, at.url, at.model)),
)
"""Type of the profile -> (profile, options of the detector, source) to the guard."""


def _rule(use: str, options: Mapping[str, object]) -> RuleGuard:
    if use not in KINDS:
        raise GuardSetupError(use, f"there is no such guard, expected one of {', '.join(USES)}")
    return make(use, options)


RULES = tuple(KINDS)
"""Names of the guards without a model: nothing else may be called so."""
USES = (*PROFILES, *RULES)
"""Every name that a policy may write after `use:` without a configuration."""
