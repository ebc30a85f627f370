"""Exchange ids are UUIDs of version 7: unique, in the order of time, and silent about everything else."""

from __future__ import annotations

import time
import uuid

from gateway.ids import exchange_id


def test_ids_are_uuids_of_version_7_and_the_rfc_variant() -> None:
    for _ in range(200):
        parsed = uuid.UUID(exchange_id())
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122


def test_the_first_48_bits_are_the_time() -> None:
    before = time.time_ns() // 1_000_000
    stamp = uuid.UUID(exchange_id()).int >> 80
    assert before <= stamp <= time.time_ns() // 1_000_000


def test_ids_sort_by_time_and_never_repeat() -> None:
    first = exchange_id()
    time.sleep(0.002)
    assert first < exchange_id()
    assert len({exchange_id() for _ in range(10_000)}) == 10_000


def test_all_74_random_bits_are_used() -> None:
    """A bit that never changes would be a bit of the shift arithmetic gone wrong."""
    seen = [uuid.UUID(exchange_id()).int for _ in range(300)]
    random_bits = ((0xFFF << 64) | 0x3FFF_FFFF_FFFF_FFFF) & ((1 << 80) - 1)
    ever_one, ever_zero = 0, 0
    for value in seen:
        ever_one |= value
        ever_zero |= ~value
    assert ever_one & random_bits == random_bits
    assert ever_zero & random_bits == random_bits
