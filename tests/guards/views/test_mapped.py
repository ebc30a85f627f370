"""The way back from an edited text to the raw characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guards.views.mapped import Edits, Mapped, Piece, excerpt, joined

RAW = Mapped("one two three four five")


def edited(base: Mapped, *edits: tuple[int, int, str]) -> Mapped:
    made = Edits(base)
    for edit in edits:
        made.replace(*edit)
    found = made.done()
    assert found
    return found


def spans(view: Mapped) -> list[tuple[int, int]]:
    return [view.raw(at, at + 1) for at in range(len(view.text))]


def test_a_text_that_was_not_edited_is_its_own_source() -> None:
    assert RAW.raw(4, 7) == (4, 7)
    assert Edits(RAW).done() is None


def test_replaced_removed_and_untouched_characters_know_where_they_stood() -> None:
    view = edited(RAW, (0, 4, ""), (4, 7, "2"), (13, 13 + 1, " -- "))

    assert view.text == "2 three -- four five"
    assert view.raw(0, 1) == (4, 7)
    assert view.raw(2, 7) == (8, 13)
    assert view.raw(7, 8) == (13, 14)
    assert view.raw(11, 15) == (14, 18)
    assert view.raw(0, 20) == (4, 23)


def test_edits_of_edits_lead_to_the_raw_text() -> None:
    view = edited(edited(RAW, (3, 4, "")), (0, 6, "12"))

    assert view.text == "12 three four five"
    assert view.raw(0, 1) == (0, 7)
    assert view.raw(3, 8) == (8, 13)


def test_removals_in_a_row_are_one() -> None:
    view = edited(RAW, *((at, at + 1, "") for at in range(8)))

    assert (view.text, len(view.at)) == ("three four five", 1)
    assert view.raw(0, 5) == (8, 13)


def test_pieces_stand_a_line_apart_in_the_order_of_their_places_and_may_overlap() -> None:
    view = joined([Piece(8, 13, "3"), Piece(0, 23, "all of it"), Piece(4, 4, "nowhere"), Piece(4, 7, "")], RAW)

    assert view
    assert view.text == "all of it\n3"
    assert view.raw(0, 3) == (0, 23)
    assert view.raw(10, 11) == (8, 13)
    assert view.raw(0, 11) == (0, 23)
    assert joined([], RAW) is None


def test_an_excerpt_keeps_what_is_near_any_change_since_the_root() -> None:
    base = Mapped("a" * 50 + "X" + "b" * 100 + "Y" + "c" * 50)
    once = edited(base, (50, 51, "1"))
    view = edited(once, (151, 152, "2"))

    assert excerpt(view, base, 3).text == "\naaa1bbb\nbbb2ccc\n"
    assert excerpt(view, once, 3).text == "\nbbb2ccc\n"
    assert excerpt(view, base, 3).raw(4, 5) == (50, 51)
    assert excerpt(view, base, 200) is view


@given(st.data())
def test_spans_are_inside_rise_and_are_never_empty(data: st.DataObject) -> None:
    base, root = Mapped("x" * data.draw(st.integers(1, 30))), None
    for _ in range(data.draw(st.integers(1, 3))):
        edits, at = Edits(base), 0
        root = root or base
        while at < len(base.text):
            start = data.draw(st.integers(at, len(base.text) - 1))
            end = data.draw(st.integers(start + 1, len(base.text)))
            edits.replace(start, end, data.draw(st.sampled_from(["", "y", "yy"])))
            at = end
        base = edits.done() or base
    for view in (base, excerpt(base, root, 2)):
        found = spans(view)
        assert all(0 <= start < end <= len(root.text) for start, end in found)
        assert [start for start, _ in found] == sorted(start for start, _ in found)
        if view.text:
            assert view.raw(0, len(view.text)) == (found[0][0], max(end for _, end in found))
