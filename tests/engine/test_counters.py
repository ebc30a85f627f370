"""Steps are counted by size, and every token of them."""

from __future__ import annotations

from engine.counters import STEP_SIZES, Counters


def test_steps_fall_into_the_first_size_that_holds_them() -> None:
    counters = Counters()
    for tokens in (1, 2, 4, 256, 257):
        counters.stepped(tokens)

    assert (counters.steps, counters.computed_tokens) == (5, 520)
    assert dict(zip((*STEP_SIZES, "more"), counters.step_sizes, strict=True)) == {
        1: 1,
        4: 2,
        16: 0,
        64: 0,
        128: 0,
        256: 1,
        "more": 1,
    }
