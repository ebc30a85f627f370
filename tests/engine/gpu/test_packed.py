"""Packed weights: what is read back is what was meant, to half a step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.gpu.packed import REDUCED, pack

CPU = torch.device("cpu")
STEPS = {"fp8": 14.0, "int8": 127.0, "int4": 7.0}
"""Of half a step at most is a weight off, as a share of the largest: fp8 has steps of 1/16 to 1/8 of a number."""


@pytest.mark.parametrize("precision", REDUCED)
@given(seed=st.integers(0, 1000), experts=st.integers(1, 3), groups=st.integers(1, 9), outputs=st.integers(1, 9))
def test_no_weight_moves_by_more_than_half_a_step(
    precision: str, seed: int, experts: int, groups: int, outputs: int
) -> None:
    torch.manual_seed(seed)
    weights = [torch.randn(outputs, 32 * groups) for _ in range(experts)]
    packed = pack(weights, precision, CPU)
    wide, exact = packed.wide(torch.float32), torch.stack(weights)
    largest = exact.unflatten(2, (-1, packed.group)).abs().amax(-1, keepdim=True)
    off = (wide - exact).unflatten(2, (-1, packed.group)).abs()
    assert (off <= (0.5 / STEPS[precision] + 0.005) * largest).all()
    assert (packed.outputs, packed.inputs) == (outputs, 32 * groups)


@pytest.mark.parametrize(("inputs", "group", "bytes_"), [(128, 128, 64), (192, 32, 96), (96, 96, 96)])
def test_four_bits_have_groups_of_inputs_or_are_eight(inputs: int, group: int, bytes_: int) -> None:
    packed = pack([torch.randn(3, inputs)], "int4", CPU)
    assert (packed.group, packed.steps_eob.shape[2], packed.is_halved) == (group, bytes_, inputs != 96)


@pytest.mark.parametrize("precision", REDUCED)
def test_zeros_stay_zeros(precision: str) -> None:
    assert not pack([torch.zeros(4, 64)], precision, CPU).wide(torch.float32).any()


def test_a_precision_that_is_not_known() -> None:
    with pytest.raises(KeyError):
        pack([torch.zeros(4, 64)], "bf16", CPU)
