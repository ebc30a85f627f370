"""The options of a detector whose guard is a model: which there are, what they mean, which categories that leaves.

The guard's own reader judges them. What comes of it has one form, whatever the spelling: an option that says what would
hold without it is left out, and a choice of categories is the list of those not asked about. So equal meaning gives
an equal digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from guards.errors import GuardSetupError
from guards.generative.options import GuardOptions, Hears
from guards.generative.options import read_options as generative_options
from guards.options import (
    MEMORY_OPTION,
    ClassifierOptions,
    classifier_options,
    content_window,
    is_remembered,
)
from guards.profiles.configured import detector_options
from guards.profiles.generative import GenerativeProfile
from guards.profiles.profile import ModelProfile, Profile
from policies.fields import Section
from policies.model import Option
from policies.options import read_options
from policies.vocabulary import GuardFacts
from policies.yaml_strict import Listing


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the guard is told, and the codes that its verdicts can then name."""

    options: Mapping[str, Option]
    categories: tuple[str, ...]


def option_keys(guard: GuardFacts) -> tuple[str, ...]:
    """What a detector with this guard may say, besides what every detector may."""
    return tuple(sorted(detector_options(guard.profile))) if guard.profile else ()


def read_model_options(section: Section, guard: GuardFacts) -> ModelOptions:
    """The options in the section. After a problem, which is then reported, what would hold without them."""
    nothing = ModelOptions(MappingProxyType({}), guard.categories)
    if guard.profile is None:
        return nothing
    keys = [key for key in option_keys(guard) if key != "categories" or isinstance(section.node(key), Listing)]
    profile = guard.profile
    found = read_options(section, keys, lambda values: _read(profile, guard.options, values))
    return found or nothing


def _read(profile: ModelProfile, configured: Mapping[str, object], values: Mapping[str, object]) -> ModelOptions:
    if isinstance(profile, GenerativeProfile):
        return _generative(profile, configured, values)
    if isinstance(profile, Profile):
        return _classifier(profile, values)
    return ModelOptions(MappingProxyType(_memory(profile, values)), tuple(profile.categories))


def _memory(profile: ModelProfile, values: Mapping[str, object]) -> dict[str, Option]:
    """Verdicts are remembered unless a policy says otherwise."""
    return {} if is_remembered(profile.use, values) else {MEMORY_OPTION: False}


def _classifier(profile: Profile, values: Mapping[str, object]) -> ModelOptions:
    chosen, usual = classifier_options(profile.use, values), ClassifierOptions()
    window = content_window(profile, chosen)
    if chosen.overlap is not None and chosen.overlap >= window:
        told = f"is {chosen.overlap}, expected less than the {window} tokens of a window"
        raise GuardSetupError(profile.use, told, "segment" if "segment" in values else "overlap")
    said = {one.name: getattr(chosen, one.name) for one in fields(chosen)}
    if chosen.overlap == profile.overlap:
        del said["overlap"]
    if window == profile.content_window:
        del said["window"]
    return ModelOptions(
        MappingProxyType({key: value for key, value in said.items() if value != getattr(usual, key)}),
        tuple(profile.categories),
    )


def _generative(
    profile: GenerativeProfile, configured: Mapping[str, object], values: Mapping[str, object]
) -> ModelOptions:
    own = {key: value for key, value in values.items() if key != MEMORY_OPTION}
    _, chosen = generative_options(profile, {**configured, **own})
    options = _memory(profile, values)
    options |= {key: _option(values[key]) for key in values if key in ("max_windows", "mode")}
    options |= {"context": "last"} if chosen.context is Hears.LAST else {}
    options |= _choice(chosen)
    return ModelOptions(MappingProxyType(options), chosen.selection.codes)


def _choice(chosen: GuardOptions) -> dict[str, Option]:
    """In one spelling. Categories of one's own keep their order: it is the order of the prompt."""
    selection = chosen.selection
    left_out = sorted(code for code, _ in selection.known if not selection.is_wanted(code))
    added = {code: text for code, text in selection.custom if selection.is_wanted(code)}
    options: dict[str, Option] = {"exclude": tuple(left_out)} if left_out else {}
    return options | ({"custom": MappingProxyType(added)} if added else {})


def _option(value: object) -> Option:
    assert isinstance(value, str | int)  # the reader took it
    return value
