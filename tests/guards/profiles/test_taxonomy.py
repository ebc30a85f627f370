"""The hazard codes."""

from __future__ import annotations

from guards.profiles.taxonomy import HAZARDS


def test_the_codes_are_s1_to_s14_in_order_each_with_its_own_name() -> None:
    assert [code for code, _ in HAZARDS] == [f"S{number}" for number in range(1, 15)]
    assert len({name for _, name in HAZARDS}) == 14
