"""Packed weights: what is read back is what was meant, to half a step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad

from engine.gpu.packed import GROUPS, REDUCED, pack

CPU = torch.device("cpu")
STEPS = {"fp8": 14.0, "int8": 127.0, "int4": 7.0}
"""Of half a step at most is a weight off, as a share of the largest: fp8 has steps of 1/16 to 1/8 of a number."""


@pytest.mark.parametrize("precision", REDUCED)
@given(
    seed=st.integers(0, 1000),
    experts=st.integers(1, 3),
    inputs=st.integers(1, 300),
    outputs=st.integers(1, 5),
    group=st.sampled_from(GROUPS),
)
@settings(max_examples=30)
def test_no_weight_moves_by_more_than_half_a_step(
    precision: str, seed: int, experts: int, inputs: int, outputs: int, group: int
) -> None:
    torch.manual_seed(seed)
    weights = [torch.randn(outputs, inputs) for _ in range(experts)]
    packed = pack(weights, precision, CPU, group)
    filled = (0, packed.padded - inputs)
    off = pad(packed.wide(torch.float32) - torch.stack(weights), filled).view(experts, outputs, -1, packed.group).abs()
    largest = pad(torch.stack(weights), filled).view(off.shape).abs().amax(-1, keepdim=True)
    assert (off <= (0.5 / STEPS[precision] + 0.005) * largest).all()
    assert (packed.outputs, packed.inputs) == (outputs, inputs)


@pytest.mark.parametrize("group", GROUPS)
def test_weights_of_four_bits_keep_their_steps(group: int) -> None:
    """In groups of as many as they were reduced in."""
    torch.manual_seed(group)
    whole_ogn = torch.randint(-8, 8, (16, 512 // group, group)).float()
    weight_oi = (whole_ogn * (torch.rand(16, 512 // group, 1) + 0.1).bfloat16().float()).view(16, 512)
    packed = pack([weight_oi.bfloat16()], "int4", CPU)
    assert packed.group == group
    assert torch.allclose(packed.wide(torch.float32)[0], weight_oi, rtol=0.01, atol=0.001)


@pytest.mark.parametrize(("precision", "bits"), [("fp8", 8.0), ("int8", 8.0), ("int4", 4.125)])
def test_bits_of_a_weight(precision: str, bits: float) -> None:
    """Scales of outputs are too few to count."""
    packed = pack([torch.randn(8, 4096)], precision, CPU)
    scales = packed.scale_epoh.numel() * 16 if precision == "int4" else 0
    assert (packed.words.numel() * 32 + scales) / (8 * 4096) == bits


@pytest.mark.parametrize("precision", REDUCED)
def test_zeros_stay_zeros(precision: str) -> None:
    assert not pack([torch.zeros(4, 64)], precision, CPU).wide(torch.float32).any()


def test_a_precision_that_is_not_known() -> None:
    with pytest.raises(KeyError):
        pack([torch.zeros(4, 64)], "int3", CPU)
