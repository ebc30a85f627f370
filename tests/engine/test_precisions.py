"""Whole models in every precision: laid-out weights change nothing, fewer bits change what their bits allow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.config import read_config
from engine.generator import Options, load_generator
from engine.kv_cache import KvCache
from engine.matrix import DTYPES, LAYS, times
from engine.model.moe import moe
from engine.runner import ModelRunner, Run
from engine.weights import Mlp, Moe, load_weights
from tests.engine import tiny
from tests.engine.model_cases import RUNS, Pair, prompt, reserved


def logits_of(pair: Pair, directory: Path, precision: str, ids: list[int], pieces: int) -> Tensor:
    """Of every token, computed `pieces` tokens at a time."""
    dtype = DTYPES[precision]
    runner = ModelRunner(pair.config, load_weights(directory, pair.config, dtype, LAYS[precision]))
    slot = reserved(KvCache(pair.config, 128, dtype), len(ids))
    parts = [ids[at : at + pieces] for at in range(0, len(ids), pieces)]
    return torch.cat([runner.step([Run(slot, part, range(len(part)))]) for part in parts])


@pytest.mark.parametrize("case", RUNS)
@pytest.mark.parametrize("pieces", [1, 19, 70])
def test_laid_out_weights_give_the_logits_of_the_other_implementation(tmp_path: Path, case: str, pieces: int) -> None:
    pair, ids = Pair(tmp_path, case), prompt(70)
    found = logits_of(pair, tmp_path, "fp32", ids, pieces)
    with torch.inference_mode():
        expected = pair.oracle(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.03), ("int8", 0.05), ("int4", 0.6)])
@pytest.mark.parametrize("pieces", [1, 70])
def test_a_dense_model_in_fewer_bits_stays_near(tmp_path: Path, precision: str, bound: float, pieces: int) -> None:
    """Random weights have nothing to fall back on: a trained model moves less. A routed one is compared below."""
    pair, ids = Pair(tmp_path, "guard"), prompt(70)
    exact = logits_of(pair, tmp_path, "fp32", ids, 70)
    moved = logits_of(pair, tmp_path, precision, ids, pieces) - exact
    assert 0 < moved.square().mean().sqrt() < bound * exact.square().mean().sqrt()


@pytest.mark.parametrize(("precision", "bound"), [("int8", 0.025), ("int4", 0.3)])
@pytest.mark.parametrize("tokens", [1, 3, 90])
def test_experts_are_reduced_like_everything_else(precision: str, bound: float, tokens: int) -> None:
    """The router is the same in both, so that near ties go the same way."""
    torch.manual_seed(2)
    shapes = ((4, 32), (4, 64, 32), (4, 32, 32), (64, 32), (32, 32))
    router, gate_up, down, shared_up, shared_down = (torch.randn(shape).bfloat16() for shape in shapes)
    lay = LAYS[precision]
    exact = Moe(router.float(), gate_up, down, Mlp(shared_up, shared_down))
    stacks = ([lay(one) for one in stack] for stack in (gate_up, down))
    fewer = Moe(router.float(), *stacks, Mlp(lay(shared_up), lay(shared_down)))
    x = torch.randn(tokens, 32).bfloat16()
    with torch.inference_mode():
        wanted, found = (moe(x, one, 2).float() for one in (exact, fewer))
    assert 0 < (found - wanted).square().mean().sqrt() < bound * wanted.square().mean().sqrt()


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_model_in_fewer_bits_is_served_like_any_other(tmp_path: Path, precision: str) -> None:
    tiny.llama4(tmp_path, hidden_size=64, intermediate_size=64, head_dim=16)
    served = load_generator(tmp_path, Options(10_000_000, precision))
    assert (served.precision, served.dtype) == (precision, torch.bfloat16)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_reduced_matrices_are_really_in_use(tmp_path: Path, precision: str) -> None:
    directory = tiny.llama4(tmp_path, hidden_size=64, intermediate_size=64, head_dim=16)
    weights = load_weights(directory, read_config(directory), torch.bfloat16, LAYS[precision])
    part = weights.layers[0].feed_forward
    assert isinstance(part, Moe)
    kinds = {type(one).__name__.lower() for one in (*part.gate_up_egD, *part.down_eDf, weights.layers[0].qkv)}
    assert kinds == {precision}
    assert times(torch.ones(1, 64, dtype=torch.bfloat16), part.gate_up_egD[0]).shape == (1, 128)
