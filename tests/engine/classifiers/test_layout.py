"""Every row stands where its text is, and padding is only where a group needs it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.classifiers.layout import FILL, NEAR, SHORT, Layout, lay_out


def rows_of(layout: Layout) -> list[list[int]]:
    """The texts as attention sees them: group by group, each with its padding cut off."""
    seen = []
    for group in layout.groups:
        rows = layout.ids_t[group.start : group.stop]
        if group.gather is None:
            seen += rows.view(group.count, group.length).tolist()
        else:
            assert group.absent_nL is not None
            places = layout.ids_t[group.gather].view(group.count, group.length)
            seen += [one[~gone].tolist() for one, gone in zip(places, group.absent_nL, strict=True)]
    return seen


@given(st.lists(st.integers(1, 200), min_size=1, max_size=12))
def test_texts_come_out_of_the_groups_as_they_went_in(lengths: list[int]) -> None:
    batch = [[100 * index + place for place in range(length)] for index, length in enumerate(lengths)]

    layout = lay_out(batch, fill_id=0)

    assert sorted(rows_of(layout)) == sorted(batch)
    assert [int(layout.ids_t[first]) for first in layout.first_b] == [ids[0] for ids in batch]
    assert len(layout.ids_t) == len(layout.place_t) == sum(lengths) + layout.filling
    assert len(layout.ids_t) % FILL == 0
    assert sum(layout.lengths) == sum(lengths)


@given(st.lists(st.integers(1, 512), min_size=1, max_size=12))
def test_padding_stays_small(lengths: list[int]) -> None:
    layout = lay_out([[7] * length for length in lengths], fill_id=0)

    for group in layout.groups:
        sizes = [group.length] if group.absent_nL is None else (~group.absent_nL).sum(1).tolist()
        assert group.length <= SHORT or min(sizes) >= NEAR * group.length


def test_places_count_from_zero_in_each_text() -> None:
    layout = lay_out([[5, 6], [7, 8, 9]], fill_id=0)

    assert layout.place_t[:5].tolist() == [0, 1, 2, 0, 1]
    assert layout.first_b.tolist() == [3, 0]


@pytest.mark.parametrize("lengths", [[4, 3], [4, 4]])
def test_a_padded_place_repeats_a_row_of_its_own_text(lengths: list[int]) -> None:
    layout = lay_out([[index + 1] * length for index, length in enumerate(lengths)], fill_id=0)
    (group,) = layout.groups

    assert (group.gather is None) == (lengths[0] == lengths[1])
    if group.gather is not None and group.real is not None:
        assert layout.ids_t[group.gather].view(2, 4).tolist() == [[1] * 4, [2] * 4]
        assert torch.equal(group.gather[group.real], torch.arange(7))
