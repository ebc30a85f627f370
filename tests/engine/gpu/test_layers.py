"""A step in few kernels is the decoder's step; test_decode.py has more of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.runner import Run
from engine.weights import load_weights
from tests.engine.gpu.stepping import OnGpu
from tests.engine.model_cases import prompt, reserved


@pytest.mark.parametrize("case", ["scout", "granite"])
def test_the_same_logits_as_in_pieces(case: str, tmp_path: Path) -> None:
    model, ids = OnGpu(tmp_path, case), prompt(20)
    found = []
    for runner_of in (model.runner, lambda _: model.pieces):
        cache = model.cache()
        runner, slot = runner_of(cache), reserved(cache, 20)
        runner.step([Run(slot, ids[:-1])])
        found.append(runner.step([Run(slot, ids[-1:], [0])]))
    torch.testing.assert_close(*found, atol=2e-5, rtol=0)


def test_experts_that_are_not_grouped_are_an_error_of_who_loaded_them(tmp_path: Path) -> None:
    model = OnGpu(tmp_path)
    plain = load_weights(tmp_path, model.config)
    first = replace(model.weights.layers[0], feed_forward=plain.layers[0].feed_forward)
    model.weights = replace(model.weights, layers=(first, *model.weights.layers[1:]))
    cache = model.cache()
    with pytest.raises(AssertionError, match="grouped"):
        model.runner(cache).step([Run(reserved(cache, 20), [9], [0])])
