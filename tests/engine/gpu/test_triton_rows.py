"""Rows to eight bits in one pass: the same as in plain torch; see kernels.py for how it runs."""

from __future__ import annotations

import pytest
import torch

from engine.gpu.product import rounded_rows
from tests.engine.gpu.kernels import DEVICE, DTYPE, interpreted, kernels, on_gpu

triton_rows = kernels("triton_rows")


def check(rows: int, inputs: int) -> None:
    """Numbers that eight bits hold exactly: how a device rounds others is its own."""
    torch.manual_seed(rows)
    x_ni = torch.randint(-15, 16, (rows, inputs)).to(DTYPE).to(DEVICE)
    x_ni[:, 3] = 448
    steps_ni, scale_n = triton_rows.rounded_rows(x_ni)
    exact_ni, expected_n = rounded_rows(x_ni)
    assert torch.equal(steps_ni.float(), exact_ni.float())
    assert torch.equal(scale_n, expected_n)


@interpreted
@pytest.mark.parametrize(("rows", "inputs"), [(1, 128), (3, 384), (0, 128), (2, 1280)])
def test_a_few_rows(rows: int, inputs: int) -> None:
    check(rows, inputs)


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize(("rows", "inputs"), [(1, 128), (70, 5120), (300, 16384)])
def test_on_a_gpu(rows: int, inputs: int) -> None:
    """Its twin is above. What is no number must not become one."""
    check(rows, inputs)
    x_ni = torch.full((1, inputs), float("nan"), dtype=DTYPE, device=DEVICE)
    assert triton_rows.rounded_rows(x_ni)[0].float().isnan().all()
