"""A checkpoint in the forms of a GPU is the same model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.config import read_config
from engine.device import CPU
from engine.gpu.form import gpu_form
from engine.kv_cache import KvCache
from engine.runner import ModelRunner, Run
from engine.weights import GroupedMoe, load_weights
from tests.engine.model_cases import Pair, prompt, reserved


@pytest.mark.parametrize("case", ["scout", "maverick", "two_experts", "granite", "llama_tied"])
def test_the_form_changes_nothing_in_fp32(case: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path, case)
    weights = load_weights(tmp_path, pair.config, torch.float32, gpu_form("fp32", CPU))
    grouped = [isinstance(layer.feed_forward, GroupedMoe) for layer in weights.layers]
    assert grouped == [layer.is_moe for layer in pair.config.layers]

    ids = prompt(40)
    found = ModelRunner(pair.config, weights).step([Run(pair.slot(40), ids, range(40))])
    torch.testing.assert_close(found, pair.full(ids), atol=2e-4, rtol=0)


@pytest.mark.parametrize("precision", ["bf16", "fp8", "int8", "int4"])
def test_fewer_bits_run_and_stay_near(precision: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path, "llama")
    config, ids = read_config(tmp_path), prompt(30)
    weights = load_weights(tmp_path, config, torch.bfloat16, gpu_form(precision, CPU))
    slot = reserved(KvCache(config, 64, torch.bfloat16), 30)
    found = ModelRunner(config, weights).step([Run(slot, ids, range(30))]).softmax(-1)
    off = (found - pair.full(ids).softmax(-1)).abs().sum(-1).mean()
    assert off < {"bf16": 0.1, "fp8": 0.4, "int8": 0.2, "int4": 1.2}[precision]
