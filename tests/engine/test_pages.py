"""What is written is read again, to the bit or to half a step of eight bits, and takes the bytes that are stated."""

from __future__ import annotations

import pytest
import torch

from engine.choices import KV_PRECISIONS
from engine.kv_layout import layout_of
from engine.pages import Fp8Pages, Pages, ScaledPages, block_bytes, pages_of
from tests.engine.stand_ins import small_config
from tests.engine.test_kv_layout import mixed

CONFIG = small_config(heads=4, kv_heads=2, head_dim=8)
LAYOUT = layout_of(CONFIG, 4)
EIGHT_BITS = ("int8", "fp8")


def pages(kept_as: str, dtype: torch.dtype = torch.float32) -> Pages:
    return pages_of(CONFIG, LAYOUT, 4, dtype, kept_as)


@pytest.mark.parametrize("kept_as", KV_PRECISIONS["generate"])
def test_positions_are_read_in_a_row_and_one_by_one(kept_as: str) -> None:
    torch.manual_seed(0)
    one, places = pages(kept_as), torch.tensor([4, 5, 6, 12])
    k_tkd, v_tkd = torch.randn(4, 2, 8), torch.randn(4, 2, 8) * 30
    one.write(0, places, k_tkd, v_tkd)

    for seen, rows in ((places, slice(None)), (slice(4, 7), slice(0, 3))):
        for found_kpd, written_tkd in zip(one.read(0, seen), (k_tkd, v_tkd), strict=True):
            off = (found_kpd.transpose(0, 1) - written_tkd[rows]).abs()
            assert (off <= allowed(kept_as, written_tkd[rows])).all()


def allowed(kept_as: str, written: torch.Tensor) -> torch.Tensor:
    """Half a step, and what the scale was rounded by."""
    most, size = written.abs().amax(dim=-1, keepdim=True), written.abs()
    if kept_as == "auto":
        return torch.zeros_like(written)
    # Of whole numbers all steps are equal; floating ones have eight to each power of two, down to 2^-9 of a scale.
    step = most / 127 if kept_as == "int8" else torch.maximum(size / 8, most / 448 / 2**9)
    return 0.51 * step + 0.008 * size


@pytest.mark.parametrize("kept_as", EIGHT_BITS)
def test_in_eight_bits_a_position_depends_on_itself_alone(kept_as: str) -> None:
    torch.manual_seed(0)
    alone, beside = pages(kept_as), pages(kept_as)
    k_tkd = torch.randn(3, 2, 8)
    alone.write(0, torch.tensor([1]), k_tkd[1:2], k_tkd[1:2])
    beside.write(0, torch.tensor([0, 1, 2]), k_tkd * torch.tensor([99.0, 1.0, 0.001])[:, None, None], k_tkd)

    assert torch.equal(alone.read(0, slice(1, 2))[0], beside.read(0, slice(1, 2))[0])


@pytest.mark.parametrize("kept_as", EIGHT_BITS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_in_eight_bits_what_is_no_number_stays_none(kept_as: str, value: float) -> None:
    one, k_tkd = pages(kept_as), torch.ones(1, 2, 8)
    k_tkd[0, 1, 3] = value
    one.write(0, torch.tensor([0]), k_tkd, torch.zeros(1, 2, 8))
    keys_kpd, values_kpd = one.read(0, slice(0, 1))

    assert torch.isfinite(keys_kpd[0]).all()
    assert not torch.isfinite(keys_kpd[1]).any()
    assert values_kpd.eq(0).all()


@pytest.mark.parametrize("kept_as", KV_PRECISIONS["generate"])
def test_positions_are_copied_in_all_layers(kept_as: str) -> None:
    torch.manual_seed(0)
    config = mixed(2, 0, kv_heads=2, head_dim=8)
    one = pages_of(config, layout_of(config, 4), 4, torch.float32, kept_as)
    for row in (0, 1):
        one.write(row, torch.arange(16), torch.randn(16, 2, 8), torch.randn(16, 2, 8))
    one.copy(1, 9, 2)

    for row in (0, 1):
        for source, target in zip(one.read(row, slice(1, 3)), one.read(row, slice(9, 11)), strict=True):
            assert torch.equal(source, target)


@pytest.mark.parametrize(
    ("kept_as", "dtype"),
    [("auto", torch.float32), ("auto", torch.bfloat16), ("int8", torch.float32), ("fp8", torch.float32)],
)
def test_a_block_takes_the_bytes_that_are_stated(kept_as: str, dtype: torch.dtype) -> None:
    one = pages(kept_as, dtype)
    held = [one.keys_lkpd, one.values_lkpd]
    if isinstance(one, ScaledPages):
        held += [one.key_scales_lkp, one.value_scales_lkp]
    assert sum(pool.nbytes for pool in held) == 4 * block_bytes(CONFIG, LAYOUT, dtype, kept_as)


def test_floating_numbers_are_widened_as_torch_does() -> None:
    """All that there are but those that are no number, which are never kept."""
    config = small_config(heads=1, kv_heads=1, head_dim=254)
    one = Fp8Pages(config, layout_of(config, 1), 1, torch.float32)
    known = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    known = known[~known.float().isnan()]
    one.write(0, torch.tensor([0]), known.float().view(1, 1, 254), torch.zeros(1, 1, 254))

    assert one.keys_lkpd.dtype is torch.float8_e4m3fn
    assert torch.equal(one.read(0, slice(0, 1))[0].flatten(), known.float())
