"""A table says where every position lies, whatever was added, dropped and replaced before."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.kv_cache import KvCache
from engine.slot import Table
from tests.engine.test_kv_layout import mixed

BLOCK = 4


def positions(table: Table, unit: int, first: int, end: int) -> list[int]:
    seen = table.seen(unit, first, end)
    return list(range(seen.start, seen.stop)) if isinstance(seen, slice) else seen.tolist()


def test_neighbours_are_seen_as_a_slice_and_others_one_by_one() -> None:
    table = Table(2, BLOCK, 16)
    table.append([(3, 7), (4, 9)])
    assert table.seen(0, 1, 7) == slice(13, 19)
    assert table.seen(1, 1, 4) == slice(29, 32)
    assert isinstance(table.seen(1, 1, 7), torch.Tensor)
    assert positions(table, 1, 2, 6) == [30, 31, 36, 37]


@given(st.data())
def test_every_position_lies_where_its_row_is(data: st.DataObject) -> None:
    table, rows, first = Table(2, BLOCK, 80), {}, 0
    block = st.integers(0, 6)
    for _ in range(data.draw(st.integers(1, 8))):
        end = first + len(rows)
        match data.draw(st.sampled_from(("append", "before", "from", "replace"))):
            case "append":
                new = data.draw(st.lists(st.tuples(block, block), max_size=4))[: 20 - end]
                table.append(new)
                rows |= dict(enumerate(new, end))
            case "before":
                first = min(20, first + data.draw(st.integers(0, 3)))
                assert table.drop_before(first) == [(at, rows.pop(at)) for at in sorted(rows) if at < first]
            case "from":
                cut = data.draw(st.integers(first, max(first, end)))
                assert table.drop_from(cut) == [rows.pop(at) for at in sorted(rows) if at >= cut]
            case "replace" if rows:
                at, row = data.draw(st.sampled_from(sorted(rows))), data.draw(st.tuples(block, block))
                assert table.replace(at, row) == rows[at]
                rows[at] = row
        assert (table.first, table.end) == (first, first + len(rows))
        for unit in (0, 1) if rows else ():
            expected = [rows[at][unit] * BLOCK + within for at in sorted(rows) for within in range(BLOCK)]
            for shift in (0, 1, BLOCK):
                end_at = table.end * BLOCK
                begin = min(first * BLOCK + shift, end_at)
                assert positions(table, unit, begin, end_at) == expected[begin - first * BLOCK :]


def test_room_ends_where_either_kind_of_layers_has_none() -> None:
    slot = KvCache(mixed(1, 1, max_positions=64), 64, block=4).reserve(40)
    assert slot is not None
    assert (slot.room, slot.full.end, slot.chunked.end) == (16, 10, 4)
    assert slot.table(True) is slot.chunked
    assert slot.table(False) is slot.full
