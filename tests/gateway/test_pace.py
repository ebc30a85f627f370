"""Windows stay inside the policy's bounds whatever is seen, and judging keeps up with the text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pace import Bounds, Pace

BOUNDS = Bounds(least=100, most=1_000)
anything = st.floats(allow_nan=True, allow_infinity=True)
seen = st.lists(
    st.tuples(st.just("heard"), st.integers(-5, 10**9), anything) | st.tuples(st.just("judged"), anything), max_size=30
)


def steady(bounds: Bounds, chars_per_s: float, judge_s: float) -> Pace:
    """After a while of the same."""
    pace = Pace(bounds)
    for _ in range(60):
        pace = pace.heard(round(chars_per_s / 4), 0.25).judged(judge_s)
    return pace


@given(seen, st.integers(1, 500), st.integers(0, 5_000), st.integers(0, 5_000), st.floats(0.001, 1e6))
def test_no_observation_leads_out_of_the_bounds(
    observations: list[tuple[object, ...]], least: int, more: int, holdback: int, delay_s: float
) -> None:
    pace = Pace(Bounds(least, least + more, holdback, delay_s))
    for kind, *values in observations:
        pace = pace.heard(*values) if kind == "heard" else pace.judged(*values)  # type: ignore[arg-type]
        assert least <= pace.window <= least + more
        assert 0 <= pace.spare_s <= delay_s
        assert math.isfinite(pace.chars_per_s)
        assert math.isfinite(pace.judge_s)


def test_the_first_windows_are_the_smallest() -> None:
    assert Pace(BOUNDS).window == 100
    assert Pace(BOUNDS).heard(10_000, 0.001).window == 100, "nothing is known of the guards yet"


@pytest.mark.parametrize(
    ("chars_per_s", "judge_s", "window"),
    [(200, 0.02, 100), (200, 0.25, 100), (200, 0.5, 200), (800, 0.25, 400), (200, 1.0, 400), (2_000, 2.0, 1_000)],
)
def test_a_window_is_twice_what_comes_while_one_is_judged(chars_per_s: float, judge_s: float, window: int) -> None:
    assert steady(BOUNDS, chars_per_s, judge_s).window == pytest.approx(window, rel=0.01)


def test_before_the_first_judging_a_quarter_of_the_promised_delay_is_kept_for_it() -> None:
    pace = Pace(Bounds(1, 10, delay_s=2.0))
    assert (pace.expected_s, pace.spare_s) == (0.5, 1.5)
    assert (pace.judged(0.1).expected_s, pace.judged(0.1).spare_s) == (0.1, 1.9)
    assert Pace(BOUNDS).expected_s == 0.0


def test_windows_shrink_again_when_guards_recover() -> None:
    slow = steady(BOUNDS, 400, 1.0)
    assert slow.window == 800
    for _ in range(12):
        slow = slow.judged(0.02)
    assert slow.window == 100


def test_a_model_that_slows_down_is_noticed_within_two_seconds() -> None:
    pace = steady(BOUNDS, 1_000, 0.4)
    for _ in range(8):
        pace = pace.heard(25, 0.25)
    assert pace.chars_per_s < 250


@given(st.floats(20, 4_000), st.floats(0.001, 2), st.floats(0.5, 20), st.integers(0, 400))
def test_a_promised_delay_is_kept_at_a_steady_speed_if_the_bounds_allow_it(
    chars_per_s: float, judge_s: float, delay_s: float, holdback: int
) -> None:
    """A character waits for its window to fill, for the judging, and to be pushed out of the hold-back."""
    pace = steady(Bounds(20, 10_000, holdback, delay_s), chars_per_s, judge_s)
    waits = (pace.window + holdback) / pace.chars_per_s + pace.judge_s
    assert waits <= delay_s * 1.001 or pace.window == 20


def test_nothing_is_learned_from_no_time_at_all() -> None:
    assert Pace(BOUNDS).heard(100, 0.0) == Pace(BOUNDS)
    assert Pace(BOUNDS).heard(100, -1.0) == Pace(BOUNDS)


@pytest.mark.parametrize("bounds", [(0, 5), (6, 5), (1, 5, -1), (1, 5, 0, 0.0), (1, 5, 0, math.nan)])
def test_bounds_that_make_no_sense_are_refused(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="window bounds"):
        Bounds(*bounds)  # type: ignore[arg-type]
