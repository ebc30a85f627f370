"""What each row sees, as arrays."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.fused.plan import plans
from engine.model.attention import Piece
from tests.engine.model_cases import Pair, reserved


def test_rows_see_their_own_text_from_the_last_border_on(tmp_path: Path) -> None:
    """The tiny model has chunks of 16. The first text lies at places 0 to 47 of its blocks, the second behind it."""
    pair = Pair(tmp_path)
    cache = pair.cache()
    layout = cache.layout
    one, other = reserved(cache, 40), reserved(cache, 20)
    pieces = [Piece(one, 0, 30, 4), Piece(other, 4, 3, 1)]
    for home, seen in zip(layout.homes, plans(pieces, layout), strict=True):
        firsts = [16, 16, 32, 32, 0] if home.is_chunked else [0] * 5
        for row, (slot, position, first) in enumerate(
            zip([one] * 4 + [other], [30, 31, 32, 33, 3], firsts, strict=True)
        ):
            found = seen.seen_n[seen.begin_t[row] : seen.end_t[row]].tolist()
            assert found == slot.table(home.is_chunked).places(home.unit, first, position + 1).tolist()
            assert seen.place_t[row] == found[-1]


def test_a_piece_that_has_no_room_is_refused(tmp_path: Path) -> None:
    cache = Pair(tmp_path).cache()
    slot = reserved(cache, 16)
    with pytest.raises(ValueError, match="longer than its slot"):
        plans([Piece(slot, 0, 10, 7)], cache.layout)
