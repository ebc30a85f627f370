"""The soak in small: a request of every kind through a real host; then nothing is pending and no block is held."""

from __future__ import annotations

import random
from collections import Counter

from bench.soak import soak
from bench.soak_work import KINDS, drawn_kind

REQUESTS = 120


def test_nothing_is_left_behind_and_all_is_answered_as_it_should() -> None:
    found = soak(REQUESTS)

    assert found.wrong == []
    assert found.left == {"engine_queue_depth": 0, "engine_running": 0, "engine_kv_blocks_held": 0}
    assert sum(found.told.values()) == REQUESTS
    assert {name.partition(":")[0] for name in found.told} == {kind.__name__ for kind in KINDS}
    assert len(found.resident) == 5
    # So soon after the start memory still grows to what it will be; a leak of each request's text would show.
    assert found.resident[-1] < 1.5 * found.resident[0]


def test_kinds_are_drawn_in_their_shares_and_the_same_each_time() -> None:
    drawn = [drawn_kind(random.Random(f"7 {number}")) for number in range(2000)]
    counted = Counter(drawn)
    assert sum(share for share, _ in KINDS.values()) == 100
    assert all(0.5 * share * 20 < counted[kind] < 1.7 * share * 20 for kind, (share, _) in KINDS.items())
    assert drawn == [drawn_kind(random.Random(f"7 {number}")) for number in range(2000)]
