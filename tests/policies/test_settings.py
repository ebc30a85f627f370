"""Sizes and times in the units that the gateway works with."""

from __future__ import annotations

import math

from policies.settings import Amount, StreamSpec


def test_a_token_counts_as_four_characters() -> None:
    assert (Amount(3, "tokens").chars, Amount(3, "characters").chars) == (12, 3)


def test_no_promise_of_a_delay_is_any_time_at_all() -> None:
    assert StreamSpec("window").max_delay_s == math.inf
    assert StreamSpec("window", max_delay_ms=250).max_delay_s == 0.25
    assert StreamSpec("window", Amount(8, "tokens")).window_most_chars == 32
