"""What is beyond a bound is the find."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.options import Options
from guards.rules.size import OPTIONS, SizeGuard


@pytest.mark.parametrize(
    ("most", "text", "beyond"),
    [
        ({"characters": 3}, "abcd", ["d"]),
        ({"characters": 3}, "abc", []),
        ({"words": 2}, "one two  three four", ["three four"]),
        ({"words": 2}, "one two ", []),
        ({"lines": 2}, "a\n\nb\nc", ["b\nc"]),
        ({"lines": 2}, "a\nb", []),
        ({"characters": 1, "words": 1}, "ab cd", ["b cd", "cd"]),
        ({"words": 1}, "", []),
    ],
)
def test_what_is_beyond_a_bound_is_found(most: dict[str, int], text: str, beyond: list[str]) -> None:
    assert [text[span.start : span.end] for span in SizeGuard(most).spans(text)] == beyond


@pytest.mark.parametrize(("values", "option"), [({}, ""), ({"words": 0}, "words"), ({"lines": "x"}, "lines")])
def test_a_bound_that_bounds_nothing_is_refused(values: dict[str, object], option: str) -> None:
    with pytest.raises(GuardSetupError) as caught:
        SizeGuard.of(Options("size", values, OPTIONS))
    assert caught.value.option == option
