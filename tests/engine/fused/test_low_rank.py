"""What adapters add in loops is what they add through torch. Whole models: test_runner.py."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from engine.adapters import load_adapter
from engine.fused.low_rank import NEAR, UNCHANGED, Adapted, Adapters, _thin
from engine.model import low_rank
from engine.model.low_rank import LowRank, Place, joined
from tests.engine import adapting
from tests.engine.model_cases import Pair


def low(*outputs: slice, ranks: tuple[int, ...], dtype: torch.dtype = torch.float32) -> LowRank:
    return joined(
        [
            (columns, torch.randn(rank, 24).to(dtype), torch.randn(rank, columns.stop - columns.start).to(dtype))
            for columns, rank in zip(outputs, ranks, strict=True)
        ]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_rows_and_columns_get_what_torch_gives_them(rows: int, dtype: torch.dtype) -> None:
    torch.manual_seed(rows)
    width = NEAR + 300
    one = low(slice(0, NEAR), slice(NEAR + 10, width), ranks=(4, 7), dtype=dtype)
    other = low(slice(5, 6), ranks=(1,), dtype=dtype)
    groups = [(slice(1, 1 + rows), {Place.QKV: one}), (slice(1 + rows, 3 + rows), {Place.QKV: other, Place.OUT: one})]
    x, base = torch.randn(3 + rows, 24), torch.randn(3 + rows, width)
    wide = [(at, {place: _widened(one) for place, one in layer.items()}) for at, layer in groups]
    wanted = low_rank.Adapted(wide).add(Place.QKV, base.clone(), x)

    found = Adapted([(at, {place: _thin(one) for place, one in layer.items()}) for at, layer in groups])
    out = base.clone().numpy()
    assert found.add(Place.QKV, out, x.numpy()) is out

    torch.testing.assert_close(torch.from_numpy(out), wanted, rtol=1e-5, atol=1e-4)
    assert torch.equal(torch.from_numpy(out)[0], base[0])
    for nobody in (found.add(Place.DOWN, base.clone().numpy(), x.numpy()), UNCHANGED.add(Place.QKV, base.numpy(), x)):  # type: ignore[arg-type]
        assert torch.equal(torch.from_numpy(nobody), base)


def _widened(one: LowRank) -> LowRank:
    return joined(
        [(part.columns, one.down_ri[part.ranks].float(), part.up_ro.float()) for part in one.parts],
    )


def test_a_row_that_is_no_number_is_nobody_elses() -> None:
    x, out = torch.randn(4, 24), torch.zeros(4, 10)
    x[2, 3] = float("nan")
    Adapted([(slice(0, 4), {Place.OUT: _thin(low(slice(0, 10), ranks=(3,)))})]).add(Place.OUT, out.numpy(), x.numpy())
    assert out.isnan().any(dim=1).tolist() == [False, False, True, False]


def test_an_adapter_is_read_where_torch_reads_it_and_let_go_with_it(tmp_path: Path) -> None:
    pair, known = Pair(tmp_path / "m", "llama"), Adapters(torch.float32)
    adapter = load_adapter(adapting.write(tmp_path / "a", pair.oracle), pair.config, torch.float32)
    (rows, layer), *_ = known.in_layers([(slice(0, 2), adapter)], 3)[1].groups
    adapter.layers[1][Place.OUT].parts[0].up_ro[0, 0] = 7.0
    assert (rows, layer[Place.OUT].up_n[0]) == (slice(0, 2), 7.0)
    assert known.in_layers([(slice(0, 2), adapter)], 3)[1].groups[0][1] is layer
    del adapter
    gc.collect()
    assert not known._known
