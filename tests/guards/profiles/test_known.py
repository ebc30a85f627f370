"""The profiles that ship are complete, and none hides another."""

from __future__ import annotations

import re

import pytest

from guards.profiles import known
from guards.profiles.known import PROFILES


def test_no_two_profiles_have_one_name() -> None:
    assert len(PROFILES) == len(known._ALL)


@pytest.mark.parametrize("use", PROFILES)
def test_a_profile_says_all_that_people_and_records_need(use: str) -> None:
    profile = PROFILES[use]
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,39}", use)
    assert profile.use == use
    assert profile.title
    assert profile.licence
    assert profile.languages
    assert profile.window > 0
    assert {code for code, _ in profile.names} == set(profile.categories)
    assert all(figure.what and figure.value and figure.source for figure in profile.figures)
