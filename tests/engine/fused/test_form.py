"""Forms that loops read give torch the same product."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.fused import form
from engine.fused.form import Head, Whole, loop_form
from engine.fused.hands import LARGE
from engine.matrix import Int4, Int8, Laid


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_a_whole_matrix_multiplies_as_torch_does(rows: int) -> None:
    weight, x = torch.randn(24, 32), torch.randn(rows, 32)
    whole = Whole(weight)
    with torch.inference_mode():
        torch.testing.assert_close(whole.times(x), F.linear(x, weight), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(whole.few(x.numpy())), F.linear(x, weight), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("outputs", "few"), [(8, form.FEW), (LARGE // (4 * 640), form.FEW_AFAR)])
def test_few_rows_of_a_prompt_do_not_order_the_weights_anew(outputs: int, few: int) -> None:
    """Sums in another order end in other bits."""
    whole = Whole(torch.randn(outputs + 1, 640))
    with torch.inference_mode():
        for rows, in_loops in ((few, True), (few + 1, False)):
            x = torch.randn(rows, 640)
            assert torch.equal(whole.times(x), torch.from_numpy(whole.few(x.numpy()))) is in_loops


@pytest.mark.parametrize("rows", [1, form.FEW, form.FEW + 1])
def test_the_logits_of_a_head_in_16_bits_are_those_of_a_widened_one(rows: int) -> None:
    weight, x = torch.randn(form.PART + 5, 32).bfloat16(), torch.randn(rows, 32)
    torch.testing.assert_close(Head(weight).times(x), F.linear(x, weight.float()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "kind", "head"),
    [("fp32", Whole, Whole), ("bf16", Laid, Head), ("int8", Int8, Head), ("int4", Int4, Head)],
)
def test_each_precision_has_the_form_that_suits_it(precision: str, kind: type, head: type) -> None:
    chosen = loop_form(precision)
    weight = torch.randn(32, 64)
    if precision != "fp32":
        weight = weight.bfloat16()
    assert isinstance(chosen.lay(weight), kind)
    assert chosen.head is not None
    assert isinstance(chosen.head(weight), head)
