"""What was recorded is replayed; what was not runs as it is, with the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.gpu.graphs import Graphs
from engine.gpu.runner import graph_runner
from engine.runner import Run
from tests.engine.gpu.stepping import GPU, OnGpu
from tests.engine.model_cases import prompt, reserved


def test_rows_are_rounded_up_and_run_as_they_are() -> None:
    ran: list[int] = []
    graphs = Graphs(ran.append, (1, 2, 4))
    for rows in (1, 2, 3, 4):
        graphs(graphs.size_for(rows))
    assert ran == [1, 2, 4, 4]
    assert graphs.recorded == ()


@pytest.mark.parametrize("device", [GPU])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp8", "int8", "int4"])
def test_a_recorded_step_is_the_step(precision: str, device: torch.device, tmp_path: Path) -> None:
    """Its twin on a processor is `test_every_next_token_is_that_of_a_full_pass`."""
    model = OnGpu(tmp_path, "scout", device, precision)
    found = []
    for is_recorded in (True, False):
        cache = model.cache()
        runner = graph_runner(model.config, model.weights, model.pieces, cache) if is_recorded else model.runner(cache)
        assert bool(runner.recorded) == is_recorded
        slots = [reserved(cache, 60) for _ in range(3)]
        runner.step([Run(slot, prompt(10 + at, at)) for at, slot in enumerate(slots)])
        rows = [runner.step([Run(slot, [20 + step], [0]) for slot in slots]) for step in range(30)]
        found.append(torch.cat(rows))
    torch.testing.assert_close(*found, atol=1e-3, rtol=0)
