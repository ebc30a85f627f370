"""What is missing is stood in for; what is there is left alone."""

from __future__ import annotations

import sys

from bench.bare import Nothing, stand_in


def test_a_missing_module_takes_everything_and_does_nothing() -> None:
    assert stand_in("nothing_like_it", "nothing_like_it.inside", "json") == [
        "nothing_like_it",
        "nothing_like_it.inside",
    ]
    try:
        from nothing_like_it import one  # type: ignore[import-not-found]
        from nothing_like_it.inside import other  # type: ignore[import-not-found]

        assert isinstance(one.two(3, four=5), Nothing)
        assert isinstance(other(), Nothing)
    finally:
        del sys.modules["nothing_like_it"], sys.modules["nothing_like_it.inside"]
