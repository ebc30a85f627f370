"""Weights in full from their words, the same as in plain torch; see kernels.py for how it runs."""

from __future__ import annotations

import pytest
import torch

from engine.gpu.packed import REDUCED, pack
from tests.engine.gpu.kernels import DEVICE, DTYPE, interpreted, kernels, on_gpu

triton_words = kernels("triton_words")


def check(precision: str, outputs: int, inputs: int, group: int) -> None:
    torch.manual_seed(outputs)
    packed = pack([torch.randn(outputs, inputs)], precision, DEVICE, group)
    assert torch.equal(triton_words.widened(packed, DTYPE), packed.wide(DTYPE)[0])


@interpreted
@pytest.mark.parametrize("precision", REDUCED)
@pytest.mark.parametrize(("outputs", "inputs", "group"), [(1, 128, 128), (70, 200, 128), (33, 384, 32)])
def test_a_few_weights(precision: str, outputs: int, inputs: int, group: int) -> None:
    check(precision, outputs, inputs, group)


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("precision", REDUCED)
@pytest.mark.parametrize(("outputs", "inputs", "group"), [(70, 200, 128), (33, 384, 32), (5120, 16384, 128)])
def test_on_a_gpu(precision: str, outputs: int, inputs: int, group: int) -> None:
    """Its twin is above."""
    check(precision, outputs, inputs, group)
