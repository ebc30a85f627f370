"""A bucket gives what it holds, fills by itself, and forgets nobody whom it turned away."""

from __future__ import annotations

from gateway.allowance import Allowance


def test_a_burst_then_a_rate_and_a_count() -> None:
    now = 100.0
    allowance = Allowance(3, 0.5, lambda: now)
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    assert (allowance.told(), allowance.told()) == (2, 0)
    now += 2
    assert [allowance.take(), allowance.take()] == [True, False]
    now += 1000
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
    assert allowance.left_out == 2
