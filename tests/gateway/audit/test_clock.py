"""The machine's clocks."""

from __future__ import annotations

import time

from gateway.audit.clock import SystemClock


def test_clocks_read_nanoseconds_and_boots_differ() -> None:
    clock = SystemClock()
    assert abs(clock.wall_ns() - time.time_ns()) < 5 * 10**9
    assert clock.mono_ns() <= clock.mono_ns()
    assert clock.new_boot() != clock.new_boot()
