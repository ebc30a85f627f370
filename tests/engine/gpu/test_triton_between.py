"""The kernels against plain torch; see kernels.py for how they run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.gpu import between
from engine.gpu.between import Added, Turn
from engine.kv_layout import layout_of
from engine.model.rope import angles, frequencies
from engine.pages import pages_of
from tests.engine.gpu.kernels import DEVICE, DTYPE, close, interpreted, kernels, on_gpu
from tests.engine.stand_ins import small_config

triton_between = kernels("triton_between")
EPS = 1e-5


def some(*shape: int) -> Tensor:
    return torch.randn(*shape).to(DTYPE).to(DEVICE)


def on_host(found: tuple[Tensor, ...] | Tensor) -> list[Tensor]:
    return [one.cpu() for one in (found if isinstance(found, tuple) else (found,))]


def check_add_norm(rows: int, width: int, places: int) -> None:
    torch.manual_seed(rows)
    x, part, weight = some(rows, width), some(rows, width), some(width)
    added = Added(part)
    if places:
        added = Added(
            part if places == 1 else None, some(rows * places, width), torch.randperm(rows * places).to(DEVICE)
        )
    host = Added(*(None if one is None else one.cpu() for one in (added.part_bD, added.found_nD, added.place_n)))  # type: ignore[arg-type]
    expected = between.add_norm(x.cpu(), host, weight.cpu(), EPS)
    for found, meant in zip(on_host(triton_between.add_norm(x, added, weight, EPS)), expected, strict=True):
        assert close(found, meant)


def check_turned(rows: int, heads: int, kv_heads: int, d: int, kind: str) -> None:
    torch.manual_seed(rows)
    config = small_config(heads=heads, kv_heads=kv_heads, head_dim=d)
    positions = torch.randint(0, 100_000, (rows,))
    turns, heat = angles(positions, frequencies(config)), torch.rand(rows) + 1
    weights = (some(d), some(d)) if kind == "weights" else None
    host_weights = None if weights is None else (weights[0].cpu(), weights[1].cpu())
    turn = Turn(
        heads, turns if kind != "heat" else None, heat if kind == "heat" else None, host_weights, kind == "unit", EPS
    )
    pages = pages_of(config, layout_of(config, 4), 40, DTYPE, "auto")
    for pool in (pages.keys_lkpd, pages.values_lkpd):
        pool.zero_()
    writes, joined = torch.randperm(160)[:rows], some(rows, heads + 2 * kv_heads, d)
    keys, values = pages.keys_lkpd[0].clone().to(DEVICE), pages.values_lkpd[0].clone().to(DEVICE)
    expected = between.turned(joined.cpu(), turn, pages, 0, writes)
    there = Turn(
        heads,
        None if turn.angles_br is None else turn.angles_br.to(DEVICE),
        None if turn.heat_b is None else turn.heat_b.to(DEVICE),
        weights,
        turn.is_unit,
        EPS,
    )
    found = triton_between.turned(joined, there, keys, values, writes.to(DEVICE))
    assert close(found.cpu(), expected)
    assert close(keys.cpu(), pages.keys_lkpd[0])
    assert close(values.cpu(), pages.values_lkpd[0])


def check_spread(rows: int, width: int, experts: int) -> None:
    torch.manual_seed(rows)
    x, logits = some(rows, width), torch.randn(rows, experts)
    expected = between.spread(x.cpu(), logits, 1)
    found = triton_between.spread(x, logits.to(DEVICE))
    beside = triton_between.spread(x, logits.to(DEVICE), is_beside=True)
    for one, meant in ((found, expected), (beside, between.spread_beside(x.cpu(), logits))):
        assert one.place_n.tolist() == meant.place_n.tolist()
        assert one.ends_e.tolist() == meant.ends_e.tolist()
        assert close(one.rows_nD.cpu(), meant.rows_nD)


def check_gated(rows: int, width: int) -> None:
    both = some(rows, 2 * width)
    assert close(triton_between.gated(both).cpu(), between.gated(both.cpu()))


@interpreted
@pytest.mark.parametrize(("rows", "width", "places"), [(1, 8, 0), (3, 40, 1), (2, 100, 2)])
def test_sums_and_norms(rows: int, width: int, places: int) -> None:
    check_add_norm(rows, width, places)


@interpreted
@pytest.mark.parametrize("kind", ["plain", "unit", "heat", "weights"])
@pytest.mark.parametrize(("heads", "kv_heads", "d"), [(4, 2, 8), (2, 1, 24)])
def test_turns(heads: int, kv_heads: int, d: int, kind: str) -> None:
    check_turned(3, heads, kv_heads, d, kind)


@interpreted
@pytest.mark.parametrize(("rows", "width", "experts"), [(1, 8, 4), (5, 40, 16), (13, 1030, 3)])
def test_rows_by_expert(rows: int, width: int, experts: int) -> None:
    check_spread(rows, width, experts)


@interpreted
@pytest.mark.parametrize(("rows", "width"), [(1, 8), (3, 1030), (0, 8)])
def test_gates(rows: int, width: int) -> None:
    check_gated(rows, width)


@interpreted
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_that_are_no_numbers_go_to_some_expert() -> None:
    logits = torch.full((3, 4), float("nan"), device=DEVICE)
    found = triton_between.spread(some(3, 8), logits)
    assert sorted(found.place_n.tolist()) == [0, 1, 2]
    assert found.ends_e[-1] == 3


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("rows", [1, 8, 64])
def test_on_a_gpu_in_scouts_shape(rows: int) -> None:
    """Its twins are above."""
    for places in (0, 1, 2):
        check_add_norm(rows, 5120, places)
    for kind in ("plain", "unit", "heat", "weights"):
        check_turned(rows, 40, 8, 128, kind)
    for experts in (16, 128):
        check_spread(rows, 5120, experts)
    check_gated(rows, 8192)
