"""Room is counted exactly, equal beginnings are kept once, and what is held is never given away."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.kv_cache import KvCache
from engine.slot import Slot
from tests.engine.model_cases import reserved
from tests.engine.stand_ins import small_config
from tests.engine.test_kv_layout import mixed

TEXT = list(range(40))


def cache(capacity: int = 32, block: int = 4, grain: int = 1) -> KvCache:
    return KvCache(small_config(), capacity, block=block, grain=grain)


def filled(one: KvCache, ids: list[int]) -> Slot:
    """A slot that holds these tokens, each written as its own number."""
    slot = one.reserve(len(ids), ids, len(ids) - 1)
    assert slot is not None
    for at in range(slot.filled, len(ids)):
        one.pages.keys_lkpd[:, :, int(slot.full.places(0, at, at + 1))] = float(ids[at])
    slot.filled = len(ids)
    return slot


def written(slot: Slot) -> list[float]:
    return slot.pages.keys_lkpd[0, 0, slot.full.places(0, 0, slot.filled), 0].tolist()


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
    # One block more than anybody is given.
    assert tuple(slot.pages.keys_lkpd.shape) == (1, 1, 36, 2)
    assert (slot.size, slot.filled, slot.full.seen(0, 0, 7)) == (7, 0, slice(0, 7))


def test_whole_blocks_are_shared_while_their_owner_runs() -> None:
    one = cache()
    first = filled(one, TEXT[:10])
    one.publish(first, TEXT[:10])
    second = filled(one, [*TEXT[:8], 99])

    assert second.taken_over == 8
    assert second.full.rows[:2] == first.full.rows[:2]
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


def hybrid(capacity: int = 64, block: int = 4, chunk: int = 8) -> KvCache:
    """One full and three chunked layers."""
    return KvCache(mixed(1, 3, chunk, max_positions=1000), capacity, block=block)


def run(one: KvCache, ids: list[int], start: Slot | None = None) -> Slot:
    """What the scheduler does: room up to the next border, then the border is passed."""
    slot = start or one.reserve(len(ids), ids, len(ids) - 1)
    assert slot is not None
    while slot.filled < len(ids):
        end = min(len(ids), one.layout.next_border(slot.filled) or len(ids))
        assert one.grow(slot, end)
        assert slot.room >= end
        slot.filled = end
        one.publish(slot, ids)
    return slot


def test_chunked_layers_never_hold_more_than_a_chunk() -> None:
    one = hybrid()
    slot = one.reserve(60, TEXT[:30])
    assert slot is not None
    for end in range(1, 41):
        assert one.grow(slot, end)
        slot.filled = end
        one.publish(slot, TEXT)
        assert len(slot.chunked.rows) * one.block <= 8
        assert one.held <= one.layout.needed(60)
        assert slot.chunked.first == end // 8 * 2
    one.release(slot, TEXT)
    assert (one.held, one.reserved) == (0, 0)


def test_a_text_longer_than_the_memory_of_all_layers_fits() -> None:
    one = hybrid(capacity=20)
    assert one.blocks == 20
    assert one.capacity == (20 - 2 * 3) * 4
    slot = run(one, [at % 30 for at in range(one.capacity)])
    one.release(slot)
    assert one.held == 0
    assert one.reserve(one.capacity + 1) is None


def test_a_beginning_is_taken_over_up_to_where_chunked_layers_have_what_lies_behind_the_border() -> None:
    one = hybrid()
    one.release(run(one, TEXT[:22]), TEXT[:22])
    assert one.known(TEXT, 22) == 22
    assert one.known(TEXT, 14) == 14

    tree = one._tree
    match = tree.match("", TEXT, 22)
    tree.hold(match.path[3])
    tree.hold_chunked(match.path[3])
    while match.path[2].chunked is not None:
        one._evict()
    assert match.path[3].chunked is not None
    # Rows two and three lie behind the border at 8, and the second is forgotten: cut to that border.
    assert one.known(TEXT, 14) == 8
    assert one.known(TEXT, 12) == 8
    # Behind the border at 16 nothing is missing as long as all is there; at a border nothing is needed.
    assert one.known(TEXT, 16) == 16


def test_what_is_gone_on_from_at_a_border_needs_no_chunked_block() -> None:
    one = hybrid()
    one.release(run(one, TEXT[:16]), TEXT[:16])
    slot = one.reserve(20, TEXT[:20], 19)
    assert slot is not None
    assert (slot.taken_over, slot.chunked.first, len(slot.borrowed)) == (16, 4, 0)


def test_a_forgotten_part_is_known_again_once_it_was_computed_again() -> None:
    one = hybrid()
    slot = run(one, TEXT[:12])
    one.release(slot, TEXT[:12])
    node = one._tree.match("", TEXT, 12).path[2]
    while node.chunked is not None:
        one._evict()
    assert one.known(TEXT, 12) == 8
    one.release(run(one, TEXT[:12]), TEXT[:12])
    assert one.known(TEXT, 12) == 12


def test_room_ahead_can_be_taken_back_and_what_is_promised_cannot() -> None:
    one = cache(32)
    slot = one.reserve(30, TEXT[:5])
    assert slot is not None
    assert one.held == 8
    one.trim(slot)
    assert (one.held, slot.room) == (2, 8)
    assert one.grow(slot, 9)
    slot.filled = 9
    one.trim(slot)
    assert one.held == 3


def test_room_for_now_is_given_where_there_is_not_enough_for_all_that_may_follow() -> None:
    one = cache(32)
    reserved(one, 20)
    assert one.reserve(20, TEXT[:6]) is None
    assert one.reserve(20, TEXT[:6], now=6, spared=2) is None
    slot = one.reserve(20, TEXT[:6], now=6, spared=1)
    assert slot is not None
    assert slot.room == 8
    assert one.grow(slot, 12)
    assert not one.grow(slot, 13)


def test_what_two_computed_can_be_merged() -> None:
    one = hybrid()
    first, second = (one.reserve(6, TEXT[:6], 5) for _ in range(2))
    assert first is not None
    assert second is not None
    for slot in (first, second):
        slot.filled = 6
        one.publish(slot, TEXT[:6])
    held = one.held
    one.merge(second)
    assert one.held == held - 4
    assert (second.full[0], second.chunked[0]) == (first.full[0], first.chunked[0])
    for slot in (first, second):
        one.release(slot, TEXT[:6])
    assert one.held == 0


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_block_is_lost_in_any_order(data: st.DataObject) -> None:
    full, chunked = data.draw(st.sampled_from([(1, 3), (2, 2), (0, 2), (3, 0)]))
    config = mixed(full, chunked, data.draw(st.sampled_from((4, 6, 8))), max_positions=1000)
    one = KvCache(config, 48, block=4)
    running: list[tuple[Slot, list[int]]] = []
    for _ in range(data.draw(st.integers(1, 25))):
        act = data.draw(st.sampled_from(("begin", "grow", "grow", "trim", "merge", "end")))
        if act == "begin":
            ids = [*TEXT[: data.draw(st.integers(1, 20))], data.draw(st.integers(0, 2))]
            slot = one.reserve(len(ids) + 8, ids, len(ids) - 1, now=len(ids), spared=2)
            running += [(slot, ids)] if slot is not None else []
        elif running:
            at = data.draw(st.integers(0, len(running) - 1))
            slot, ids = running[at]
            if act == "grow" and slot.filled < len(ids):
                end = min(len(ids), one.layout.next_border(slot.filled) or len(ids))
                if one.grow(slot, end):
                    slot.filled = end
                    one.publish(slot, ids)
            elif act in ("trim", "merge"):
                getattr(one, act)(slot)
            elif act == "end":
                del running[at]
                one.release(slot, ids if data.draw(st.booleans()) else ())
        rows = [row for slot, _ in running for row in (*slot.full.rows, *slot.chunked.rows)]
        assert len({block for row in rows for block in row}) <= one.held <= one.blocks
    for slot, ids in running:
        one.release(slot, ids)
    assert (one.held, one.reserved) == (0, 0)
    one.forget()
    assert one._free.take(one.blocks) == list(range(one.blocks))


def reserved_like(one: KvCache, ids: list[int]) -> Slot:
    slot = one.reserve(len(ids), ids, len(ids) - 1)
    assert slot is not None
    return slot
