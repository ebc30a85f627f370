"""Every form of a projection computes the same product, as closely as its bits allow, for any number of tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from engine.matrix import DTYPES, GROUP, LAYS, Int4, Int8, Laid, four_bits, plain, times

BOUNDS = {"fp32": 1e-6, "bf16": 0.004, "int8": 0.01, "int4": 0.12}
"""Root mean square of the differences as a share of that of the results."""


@pytest.mark.parametrize("precision", LAYS)
@pytest.mark.parametrize("tokens", [1, 2, 16, 17, 70])
def test_the_product_is_close_to_that_of_fp32(precision: str, tokens: int) -> None:
    torch.manual_seed(tokens)
    x, weight = torch.randn(tokens, 64), torch.randn(48, 64)
    expected = F.linear(x, weight)
    dtype = DTYPES[precision]
    with torch.inference_mode():
        found = times(x.to(dtype), LAYS[precision](weight.to(dtype)))

    assert found.dtype == dtype
    assert (found.float() - expected).square().mean().sqrt() <= BOUNDS[precision] * expected.square().mean().sqrt()


@pytest.mark.parametrize("inputs", [1, 8, 24, 40, 72])
def test_eight_bits_of_rows_that_no_kernel_is_made_for(inputs: int) -> None:
    """The kernel for few tokens reads beyond such rows: many small matrices, so that one lies at the end of a page."""
    torch.manual_seed(inputs)
    for _ in range(200):
        x, weight = torch.randn(2, inputs).bfloat16(), torch.randn(24, inputs)
        torch.testing.assert_close(Int8(weight).times(x).float(), x.float() @ weight.t(), atol=0.3, rtol=0.1)


@pytest.mark.parametrize("form", [Int8, Int4])
def test_no_weight_moves_by_more_than_half_a_step(form: type[Int8] | type[Int4]) -> None:
    """Read back one by one, through the product itself; bf16 scales add a little."""
    torch.manual_seed(3)
    weight = torch.randn(32, 64)
    with torch.inference_mode():
        found = form(weight).times(torch.eye(64, dtype=torch.bfloat16)).t().float()
    group, most = (64, 127) if form is Int8 else (32, 7)
    largest = weight.view(32, -1, group).abs().amax(-1, keepdim=True).expand(-1, -1, group).reshape(32, 64)

    assert ((found - weight).abs() <= (0.5 / most + 0.01) * largest).all()


@pytest.mark.parametrize("form", [Int8, Int4])
@pytest.mark.parametrize("tokens", [1, 40])
def test_a_row_of_zeros_stays_zeros(form: type[Int8] | type[Int4], tokens: int) -> None:
    with torch.inference_mode():
        assert (form(torch.zeros(16, 32)).times(torch.ones(tokens, 32, dtype=torch.bfloat16)) == 0).all()


@pytest.mark.parametrize("form", [Int8, Int4])
def test_a_token_is_not_moved_by_a_loud_neighbour(form: type[Int8] | type[Int4]) -> None:
    torch.manual_seed(0)
    matrix = form(torch.randn(48, 64))
    quiet, loud = torch.randn(1, 64).bfloat16(), (torch.randn(1, 64) * 1000).bfloat16()
    with torch.inference_mode():
        both = matrix.times(torch.cat([quiet, loud]))[0]
        torch.testing.assert_close(both, matrix.times(quiet)[0], atol=0.05, rtol=0.01)


@pytest.mark.parametrize(("outputs", "inputs"), [(24, 64), (32, 48)])
def test_what_four_bits_cannot_hold_keeps_eight(outputs: int, inputs: int) -> None:
    assert isinstance(four_bits(torch.randn(outputs, inputs)), Int8)
    assert isinstance(four_bits(torch.randn(32, 64)), Int4)


def test_elsewhere_than_on_a_processor_weights_stay_as_they_are() -> None:
    there = torch.empty(4, 4, device="meta")
    assert LAYS["fp32"](there) is there
    assert plain(there) is there
    assert isinstance(LAYS["fp32"](torch.randn(4, 4)), Laid)


@given(st.integers(0, 1000), st.sampled_from([torch.float32, torch.bfloat16]))
def test_weights_of_four_bits_keep_their_steps(seed: int, dtype: torch.dtype) -> None:
    """Whoever reduced them before chose the steps; another grid would move them a second time."""
    torch.manual_seed(seed)
    whole_ogn = torch.randint(-8, 8, (32, 2, GROUP)).float()
    scale_og1 = (torch.rand(32, 2, 1) + 0.1).bfloat16().float()
    weight_oi = (whole_ogn * scale_og1).view(32, 2 * GROUP)
    x_ti = torch.randn(3, 2 * GROUP).bfloat16()
    exact = x_ti.float() @ weight_oi.t()
    off = (Int4(weight_oi.to(dtype)).times(x_ti).float() - exact).abs().max()
    assert off < 0.02 * exact.abs().max()
