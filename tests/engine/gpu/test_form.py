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
from tests.engine.test_stored_checkpoints import source, written


@pytest.mark.parametrize("case", ["scout", "maverick", "two_experts", "granite", "llama_tied"])
def test_the_form_changes_nothing_in_fp32(case: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path, case)
    weights = load_weights(tmp_path, pair.config, torch.float32, gpu_form("fp32", CPU))
    grouped = [isinstance(layer.feed_forward, GroupedMoe) for layer in weights.layers]
    assert grouped == [layer.is_moe for layer in pair.config.layers]

    ids = prompt(40)
    found = ModelRunner(pair.config, weights).step([Run(pair.slot(40), ids, range(40))])
    torch.testing.assert_close(found, pair.full(ids), atol=2e-4, rtol=0)


@pytest.mark.parametrize("form", ["fbgemm_fp8", "pack-quantized"])
def test_published_experts_are_joined_whether_they_were_or_not(form: str, tmp_path: Path) -> None:
    held, meant = written(source(tmp_path / "m", "scout"), tmp_path, form)
    config, ids, found = read_config(held), prompt(20), []
    for directory in (held, meant):
        weights = load_weights(directory, config, torch.float32, gpu_form("fp32", CPU))
        slot = reserved(KvCache(config, 64), 20)
        found.append(ModelRunner(config, weights).step([Run(slot, ids, range(20))]))
    torch.testing.assert_close(*found, atol=2e-4, rtol=0)


@pytest.mark.parametrize("precision", ["bf16", "fp8", "int8", "int4"])
def test_fewer_bits_run_and_stay_near(precision: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path, "llama")
    config, ids = read_config(tmp_path), prompt(30)
    weights = load_weights(tmp_path, config, torch.bfloat16, gpu_form(precision, CPU))
    slot = reserved(KvCache(config, 64, torch.bfloat16), 30)
    found = ModelRunner(config, weights).step([Run(slot, ids, range(30))]).softmax(-1)
    off = (found - pair.full(ids).softmax(-1)).abs().sum(-1).mean()
    assert off < {"bf16": 0.1, "fp8": 0.4, "int8": 0.2, "int4": 1.2}[precision]
