"""Room is counted exactly, equal beginnings are kept once, and what is held is never given away."""

from __future__ import annotations

import pytest

from engine.errors import EngineError
from engine.kv_cache import KvCache, Slot
from tests.engine.model_cases import reserved
from tests.engine.stand_ins import small_config

TEXT = list(range(40))


def cache(capacity: int = 32, block: int = 4, grain: int = 1) -> KvCache:
    return KvCache(small_config(), capacity, block=block, grain=grain)


def filled(one: KvCache, ids: list[int]) -> Slot:
    """A slot that holds these tokens, each written as its own number."""
    slot = one.reserve(len(ids), ids, len(ids) - 1)
    assert slot is not None
    for at in range(slot.filled, len(ids)):
        one.pages.keys_lkpd[:, :, int(slot.places_p[at])] = float(ids[at])
    slot.filled = len(ids)
    return slot


def written(slot: Slot) -> list[float]:
    return slot.pages.keys_lkpd[0, 0, slot.places_p[: slot.filled], 0].tolist()


def test_room_is_taken_in_blocks_and_given_back() -> None:
    one = cache(10)
    assert one.capacity == 8
    first, second = reserved(one, 3), reserved(one, 4)
    assert (one.reserved, one.held) == (7, 2)
    assert one.reserve(1) is None

    one.release(first)
    one.release(second)
    assert (one.reserved, one.held, one.kept) == (0, 0, 0)


def test_giving_back_twice_is_an_error() -> None:
    one = cache()
    slot = reserved(one, 3)
    one.release(slot)
    with pytest.raises(EngineError):
        one.release(slot)
    assert one.reserved == 0


def test_a_slot_has_the_models_shape_and_lies_in_a_row() -> None:
    slot = reserved(cache(), 7)
    assert tuple(slot.pages.keys_lkpd.shape) == (1, 1, 32, 2)
    assert (slot.size, slot.filled, slot.in_a_row) == (7, 0, 7)


def test_whole_blocks_are_shared_while_their_owner_runs() -> None:
    one = cache()
    first = filled(one, TEXT[:10])
    one.publish(first, TEXT[:10])
    second = filled(one, [*TEXT[:8], 99])

    assert second.taken_over == 8
    assert second.table[:2] == first.table[:2]
    assert one.held == 4
    assert written(second) == [*TEXT[:8], 99]


def test_what_was_released_is_known_to_the_last_token() -> None:
    one = cache()
    one.release(filled(one, TEXT[:10]), TEXT[:10])
    assert (one.held, one.kept) == (0, 3)

    again = filled(one, TEXT[:14])

    assert again.taken_over == 10
    assert written(again) == TEXT[:14]


def test_part_of_a_block_is_copied_and_its_source_stays_as_it_was() -> None:
    one = cache()
    first = filled(one, TEXT[:8])
    one.publish(first, TEXT[:8])
    second = filled(one, [*TEXT[:6], 50, 51, 52])

    assert second.taken_over == 6
    assert written(second) == [*TEXT[:6], 50, 51, 52]
    assert written(first) == TEXT[:8]


def test_the_token_whose_logits_are_wanted_is_never_taken_over() -> None:
    one = cache()
    one.release(filled(one, TEXT[:8]), TEXT[:8])
    assert one.known(TEXT[:8], 7) == 7
    assert reserved_like(one, TEXT[:8]).filled == 7


def test_salts_are_worlds_apart() -> None:
    one = cache()
    slot = one.reserve(8, TEXT[:8], 7, "a")
    assert slot is not None
    slot.filled = 8
    one.release(slot, TEXT[:8])

    assert (one.known(TEXT[:8], 8, "a"), one.known(TEXT[:8], 8)) == (8, 0)


def test_room_is_made_by_forgetting_what_was_unused_for_longest() -> None:
    one = cache(16)
    one.release(filled(one, TEXT[:8]), TEXT[:8])
    one.release(filled(one, [90, *TEXT[:7]]), [90, *TEXT[:7]])
    assert one.known(TEXT, 8) == 8
    reserved(one, 8)

    assert one.evicted == 2
    assert (one.known(TEXT, 8), one.known([90, *TEXT], 8)) == (0, 8)


def test_what_is_held_is_never_forgotten() -> None:
    one = cache(16)
    first = filled(one, TEXT[:8])
    one.publish(first, TEXT[:8])
    assert one.reserve(12) is None
    second = one.reserve(16, TEXT[:16], 15)
    assert second is not None
    assert (second.taken_over, one.evicted) == (8, 0)


def test_a_copy_that_would_need_its_own_source_is_not_made() -> None:
    one = cache(8)
    one.release(filled(one, TEXT[:8]), TEXT[:8])
    slot = filled(one, [*TEXT[:6], 60, 61])

    assert slot.taken_over == 4
    assert written(slot) == [*TEXT[:6], 60, 61]


def test_two_that_computed_the_same_keep_one() -> None:
    one = cache()
    first, second = filled(one, TEXT[:9]), filled(one, TEXT[:9])
    assert second.taken_over == 0
    one.publish(first, TEXT[:9])
    one.publish(second, TEXT[:9])
    one.release(second, TEXT[:9])
    one.release(first, TEXT[:9])

    assert (one.held, one.kept) == (0, 3)


def test_with_a_grain_only_whole_grains_are_taken_over() -> None:
    one = cache(grain=8)
    one.release(filled(one, TEXT[:15]), TEXT[:15])
    assert one.kept == 2
    assert reserved_like(one, TEXT[:15]).taken_over == 8
    assert one.known(TEXT[:7], 7) == 0


def test_a_limit_keeps_the_rest_to_itself() -> None:
    one = cache()
    one.release(filled(one, TEXT[:12]), TEXT[:12], 6)
    assert one.known(TEXT, 12) == 6


def test_what_was_filled_without_known_tokens_is_forgotten() -> None:
    one = cache()
    one.release(filled(one, TEXT[:12]))
    assert (one.kept, one.held) == (0, 0)


def test_forgetting_spares_what_runs() -> None:
    one = cache()
    running = filled(one, TEXT[:8])
    one.publish(running, TEXT[:8])
    one.release(filled(one, [70, 71, 72, 73]), [70, 71, 72, 73])
    one.forget()

    assert (one.kept, one.held) == (0, 2)
    assert one.known(TEXT, 8) == 8


def reserved_like(one: KvCache, ids: list[int]) -> Slot:
    slot = one.reserve(len(ids), ids, len(ids) - 1)
    assert slot is not None
    return slot
