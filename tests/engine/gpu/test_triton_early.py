"""Kernels that may be launched early wait before they do anything else; where nobody asks, they are not."""

from __future__ import annotations

import inspect

import pytest

from tests.engine.gpu.kernels import kernels

triton_early = kernels("triton_early")
triton_between, triton_paged = kernels("triton_between"), kernels("triton_paged")
triton_product = kernels("triton_product")
EARLY = (
    triton_between.sum_row,
    triton_between.turn_head,
    triton_between.spread_row,
    triton_between.gate_row,
    triton_paged.attend_part,
    triton_paged.join_parts,
    triton_product.grouped_product,
)


@pytest.mark.parametrize("kernel", EARLY, ids=lambda kernel: kernel.fn.__name__)
def test_the_first_thing_is_to_wait(kernel: object) -> None:
    """One that did not, and ended at once, would let who comes next overtake who came before."""
    lines = [line.strip() for line in inspect.getsource(kernel.fn).splitlines()]  # type: ignore[attr-defined]
    body = lines[next(at for at, line in enumerate(lines) if line.endswith("-> None:")) + 1 :]
    statements = "\n".join(body).split('"""')[-1].strip()
    assert statements.startswith("await_others()\n")


def test_nobody_asks_by_default() -> None:
    assert triton_early.OPTIONS == {}
