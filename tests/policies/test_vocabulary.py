"""The table of names agrees with the guards that exist."""

from __future__ import annotations

from guards.profiles.starter_hazard import STARTER_HAZARD
from guards.registry import PROFILES, USES, check
from policies import vocabulary as words
from policies.vocabulary import KNOWN_GUARDS


def test_every_guard_that_can_be_built_can_be_named_and_the_other_way_round() -> None:
    assert set(KNOWN_GUARDS) == set(USES)
    assert {use for use, guard in KNOWN_GUARDS.items() if guard.is_model} == set(PROFILES)


def test_every_name_of_an_option_is_accepted_by_its_guard() -> None:
    for use, guard in KNOWN_GUARDS.items():
        for option, names in guard.names.items():
            check(use, {option: list(names.known)})
            check(use, {option: list(names.default)})
            check(use, {option: list(names.expand(names.groups))} if names.groups else {})


def test_categories_are_those_the_hazard_guard_gives() -> None:
    labels = [label for label in STARTER_HAZARD.labels if label.startswith("S")]
    assert set(KNOWN_GUARDS["starter_hazard"].categories) == set(labels)


def test_no_word_is_both_available_and_later() -> None:
    assert not set(words.LATER_GUARDS) & set(KNOWN_GUARDS)
    assert not set(words.LATER_FACTS) & set(words.FACTS)
    assert not set(words.LATER_DETECTOR) & {"use", "threshold", "categories", "timeout", "on_error", "pattern"}
