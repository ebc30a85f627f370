"""Room is counted exactly: what is reserved comes back, once."""

from __future__ import annotations

import pytest

from engine.errors import EngineError
from engine.kv_cache import KvCache
from tests.engine.stand_ins import small_config


def test_room_is_taken_and_given_back() -> None:
    cache = KvCache(small_config(), 10)
    first, second = cache.reserve(6), cache.reserve(4)
    assert (cache.reserved, cache.has_room(1)) == (10, False)

    cache.release(first)
    assert (cache.reserved, cache.has_room(6), cache.has_room(7)) == (4, True, False)
    cache.release(second)
    assert cache.reserved == 0


def test_more_than_there_is_cannot_be_reserved() -> None:
    cache = KvCache(small_config(), 10)
    with pytest.raises(EngineError):
        cache.reserve(11)
    assert cache.reserved == 0


def test_giving_back_twice_is_an_error() -> None:
    cache = KvCache(small_config(), 10)
    slot = cache.reserve(3)
    cache.release(slot)
    with pytest.raises(EngineError):
        cache.release(slot)
    assert cache.reserved == 0


def test_a_slot_has_the_models_shape() -> None:
    slot = KvCache(small_config(), 10).reserve(3)
    assert (tuple(slot.keys_lhpd.shape), slot.size, slot.filled) == ((1, 1, 3, 2), 3, 0)
