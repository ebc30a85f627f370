"""A service is what its entry says, or the entry is refused under the option's name."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.profiles.moderation_api import OPENAI, ModerationProfile, moderation_api
from guards.profiles.profile import Kind, Task


def test_without_options_it_is_the_published_form() -> None:
    profile = moderation_api("filter", {})
    assert (profile.use, profile.categories, profile.kind, profile.task) == (
        "filter",
        OPENAI,
        Kind.HAZARD,
        Task.MODERATE,
    )
    assert dict(profile.names)["self-harm/intent"] == "self-harm/intent"


def test_a_service_of_ones_own_names_its_categories() -> None:
    values = {"categories": ["insult"], "kind": "attack", "window": 1000, "overlap": 10}
    profile = moderation_api("filter", values)
    assert (profile.categories, profile.kind, profile.window, profile.overlap) == (("insult",), Kind.ATTACK, 1000, 10)


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"categories": []}, "categories"),
        ({"categories": ["a", "a"]}, "categories"),
        ({"categories": "hate"}, "categories"),
        ({"kind": "opinion"}, "kind"),
        ({"window": 1}, "window"),
        ({"window": 100, "overlap": 100}, "overlap"),
        ({"labels": ["a"]}, "labels"),
    ],
)
def test_a_wrong_option_is_named(values: dict[str, object], option: str) -> None:
    with pytest.raises(GuardSetupError) as caught:
        moderation_api("filter", values)
    assert caught.value.option == option


def test_a_profile_that_contradicts_itself_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="overlap is 4000"):
        ModerationProfile("filter", overlap=4000)
