"""Options are read whole, and a wrong one is named."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.options import VIEWS, ClassifierOptions, Options, classifier_options, content_window
from guards.profiles.known import PROFILES
from guards.profiles.profile import Profile


def test_nothing_written_means_the_defaults() -> None:
    assert classifier_options("g", {}) == ClassifierOptions(VIEWS, False, None, 128, True)


def test_all_written_is_read() -> None:
    values = {"views": ["leet", "raw"], "length_aware": True, "overlap": 64, "max_windows": 3, "memory": "off"}

    assert classifier_options("g", values) == ClassifierOptions(("raw", "leet"), True, 64, 3, False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("views", "leet"),
        ("views", ["upside_down"]),
        ("length_aware", "yes"),
        ("length_aware", 1),
        ("overlap", -1),
        ("overlap", "64"),
        ("max_windows", 0),
        ("max_windows", 129),
        ("max_windows", True),
        ("memory", None),
        ("threshold", 0.5),
    ],
)
def test_a_wrong_value_is_refused_under_its_name(key: str, value: object) -> None:
    with pytest.raises(GuardSetupError) as caught:
        classifier_options("g", {key: value})
    assert (caught.value.guard, caught.value.option) == ("g", key)


@pytest.mark.parametrize(("value", "found"), [("on", True), ("off", False), (True, True), (False, False)])
def test_switches_are_written_in_either_way(value: object, found: bool) -> None:
    assert Options("g", {"memory": value}, {"memory"}).switch("memory", not found) is found


def test_a_string_that_is_missing_is_told_apart_from_one_that_is_none() -> None:
    with pytest.raises(GuardSetupError, match="missing"):
        Options("g", {}, {"pattern"}).string("pattern")
    with pytest.raises(GuardSetupError, match="expected a string"):
        Options("g", {"pattern": 5}, {"pattern"}).string("pattern")


def test_a_segment_is_a_window_and_what_neighbours_share() -> None:
    said = classifier_options("g", {"segment": {"tokens": 256, "overlap": 32}, "reduce": "max"})
    assert said == ClassifierOptions(window=256, overlap=32)
    for values, option in (
        ({"segment": 512}, "segment"),
        ({"segment": {"overlap": 3}}, "segment"),
        ({"segment": {"tokens": 12}}, "segment"),
        ({"segment": {"tokens": 512, "overlap": 3}, "overlap": 3}, "overlap"),
        ({"reduce": "mean"}, "reduce"),
    ):
        with pytest.raises(GuardSetupError) as caught:
            classifier_options("g", values)
        assert caught.value.option == option


def test_a_window_is_no_larger_than_the_model_s() -> None:
    profile = PROFILES["prompt_guard_2_86m"]
    assert isinstance(profile, Profile)
    assert content_window(profile, ClassifierOptions()) == 510
    assert content_window(profile, ClassifierOptions(window=256)) == 254
    with pytest.raises(GuardSetupError, match="at most 512 tokens"):
        content_window(profile, ClassifierOptions(window=600))
