"""The benchmark of streams counts what it says it counts."""

from __future__ import annotations

from bench.stream import POLICIES, Cell, in_process
from policies.settings import Amount, StreamSpec


async def test_a_cell_counts_judgings_and_characters_and_when_they_left() -> None:
    spec = StreamSpec("window", Amount(40, "characters"), Amount(20, "characters"))
    cell = await Cell(spec, 2_000, 0.0, 100).run()
    assert cell.judgings == 11, "ten windows of 40 characters, and the whole answer"
    assert (cell.came[-1][0], cell.left[-1][0]) == (400, 400)
    assert len(cell.delays) == 100
    assert min(cell.delays) >= 0
    context = sum(min(40 * number, 180) + 40 for number in range(10))
    assert context - 400 <= cell.judged_chars - 400 <= context + 400
    assert "| 11 |" in cell.row("x")


async def test_a_buffer_judges_once_and_lets_everything_go_at_the_end() -> None:
    cell = await Cell(POLICIES["buffer"], 2_000, 0.01, 50).run()
    assert (cell.judgings, cell.judged_chars, len(cell.left)) == (1, 200, 1)
    assert cell.delays[0] > cell.delays[-1] >= 0.01


async def test_every_policy_is_run_at_every_speed_and_with_every_guard() -> None:
    rows = await in_process(5)
    assert len(rows) == len(POLICIES) * 9
