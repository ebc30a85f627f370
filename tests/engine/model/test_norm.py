"""Norms are computed in fp32 and give back the dtype they were given."""

from __future__ import annotations

import pytest
import torch

from engine.model.norm import rms_norm, unit_rms


def test_the_mean_square_is_one() -> None:
    x = torch.randn(3, 4, 64) * 50
    assert unit_rms(x, 0.0).pow(2).mean(-1) == pytest.approx(torch.ones(3, 4), abs=1e-5)


def test_the_weight_comes_after() -> None:
    x, weight = torch.randn(3, 8), torch.randn(8)
    torch.testing.assert_close(rms_norm(x, weight, 1e-5), unit_rms(x, 1e-5) * weight)


def test_sixteen_bits_do_not_overflow() -> None:
    x = torch.full((1, 8), 60_000.0, dtype=torch.float16)
    found = unit_rms(x, 1e-5)
    assert found.dtype == torch.float16
    assert found.tolist() == [[1.0] * 8]
