"""What a configuration may say of a guard, and what it may not."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.profiles.configured import NAMES, OF_THE_POLICY, configured, options_of
from guards.profiles.generative import GenerativeProfile
from guards.profiles.known import PROFILES
from guards.profiles.profile import Profile


@pytest.mark.parametrize("name", PROFILES)
def test_a_shipped_profile_needs_no_option(name: str) -> None:
    assert configured(name, "any_name", {}).profile == PROFILES[name]
    assert not options_of(name) & OF_THE_POLICY


def test_a_label_classifier_is_made_of_its_options() -> None:
    profile = configured("label_classifier", "house", {"labels": ["a", "b"], "flagged": ["b"]}).profile
    assert isinstance(profile, Profile)
    assert profile.use == "house"
    with pytest.raises(GuardSetupError) as caught:
        configured("label_classifier", "house", {"labels": ["a", "b"]})
    assert caught.value.option == "flagged"


def test_a_causal_guard_gets_its_categories_from_its_options() -> None:
    values = {"names": {"X1": "one thing"}, "codes": "\n", "safe": ["no"], "unsafe": ["yes"]}
    found = configured("causal_guard", "house", values)
    assert isinstance(found.profile, GenerativeProfile)
    assert found.profile.categories == ("X1",)
    assert found.options == values


def test_what_a_policy_decides_is_not_configured() -> None:
    """Else the digest of a policy would not say what was judged."""
    for name in NAMES:
        assert not options_of(name) & {"exclude", "custom"}
