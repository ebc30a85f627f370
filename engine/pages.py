"""The memory of keys and values: all blocks of one model, as they are or in eight bits, whole numbers or floating.

In eight bits each head of each position has a scale of its own, so what a position holds depends on nothing but
itself: alone, in a batch or taken over, it is the same. Nothing is written before it is used, so memory is taken from
the system as it fills.

Shapes: l layers of one block, k key-value heads, p positions of the whole memory, d head dimension, t new positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from engine.kv_layout import Layout
from engine.shape import ModelConfig

Places: TypeAlias = slice | Tensor
"""Where positions lie: in a row, or one by one."""
SCALE_DTYPE = torch.bfloat16
TINY = 1e-8


class Pages:
    """As they are computed."""

    most: float = 0.0
    """What a head's largest number becomes where there are scales."""

    def __init__(self, config: ModelConfig, layout: Layout, blocks: int, dtype: torch.dtype) -> None:
        self.layout = layout
        shape = (layout.depth, config.kv_heads, blocks * layout.block, config.head_dim)
        self.keys_lkpd, self.values_lkpd = torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)
        self.told: Callable[[int, int, int], None] = _nobody
        """Hears of each copy before it is made: who keeps the keys of other heads at the same places."""

    def write(self, row: int, places: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> None:
        self.keys_lkpd[row][:, places] = k_tkd.transpose(0, 1)
        self.values_lkpd[row][:, places] = v_tkd.transpose(0, 1)

    def read(self, row: int, seen: Places) -> tuple[Tensor, Tensor]:
        """Keys and values, each [k, p, d]; a view where positions lie in a row."""
        return self.keys_lkpd[row][:, seen], self.values_lkpd[row][:, seen]

    def scales(self, _row: int) -> tuple[Tensor, Tensor] | None:
        """Of keys and of values, each [k, p], where they have some."""
        return None

    def copy(self, source: int, target: int, count: int) -> None:
        """`count` positions from one place to another, in all layers."""
        self.told(source, target, count)
        for pool in self._pools():
            pool[:, :, target : target + count] = pool[:, :, source : source + count]

    def _pools(self) -> tuple[Tensor, ...]:
        return self.keys_lkpd, self.values_lkpd


class ScaledPages(Pages):
    """In eight bits: the largest of a head's numbers becomes `most`."""

    kept: torch.dtype

    def __init__(self, config: ModelConfig, layout: Layout, blocks: int, dtype: torch.dtype) -> None:
        super().__init__(config, layout, blocks, self.kept)
        self._dtype = dtype
        shape = (2, layout.depth, config.kv_heads, blocks * layout.block)
        self.key_scales_lkp, self.value_scales_lkp = torch.empty(shape, dtype=SCALE_DTYPE)

    def write(self, row: int, places: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> None:
        parts = ((k_tkd, self.keys_lkpd, self.key_scales_lkp), (v_tkd, self.values_lkpd, self.value_scales_lkp))
        for new_tkd, pool_lkpd, scales_lkp in parts:
            wide_ktd = new_tkd.transpose(0, 1).float()
            scale_kt = (wide_ktd.abs().amax(dim=-1) / self.most).clamp_min(TINY).to(SCALE_DTYPE)
            # A scale that was rounded down cuts the largest number by less than half a step.
            steps_ktd = (wide_ktd / scale_kt.float()[..., None]).clamp_(-self.most, self.most)
            # What is no number must not become one: the scale carries it.
            pool_lkpd[row][:, places] = self._rounded(steps_ktd.nan_to_num_(0.0)).to(self.kept)
            scales_lkp[row][:, places] = scale_kt

    def read(self, row: int, seen: Places) -> tuple[Tensor, Tensor]:
        keys, values = self.keys_lkpd[row][:, seen], self.values_lkpd[row][:, seen]
        return self._wide(keys, self.key_scales_lkp[row][:, seen]), self._wide(
            values, self.value_scales_lkp[row][:, seen]
        )

    def scales(self, row: int) -> tuple[Tensor, Tensor] | None:
        return self.key_scales_lkp[row], self.value_scales_lkp[row]

    def _rounded(self, steps_ktd: Tensor) -> Tensor:
        """To what `kept` can hold, where its conversion would not do so by itself. The argument may be changed."""
        return steps_ktd

    def _wide(self, steps_kpd: Tensor, scale_kp: Tensor) -> Tensor:
        return steps_kpd.to(self._dtype) * scale_kp[..., None].to(self._dtype)

    def _pools(self) -> tuple[Tensor, ...]:
        # As four dimensions like the others.
        return (*super()._pools(), self.key_scales_lkp[..., None], self.value_scales_lkp[..., None])


class Int8Pages(ScaledPages):
    """Whole numbers, rounded to nearest: equal steps up to a head's largest number."""

    kept, most = torch.int8, 127.0

    def _rounded(self, steps_ktd: Tensor) -> Tensor:
        return steps_ktd.round_()


class Fp8Pages(ScaledPages):
    """Floating with four bits of mantissa, one of them implied: steps that shrink with the number."""

    kept, most = torch.float8_e4m3fn, 448.0

    def _wide(self, steps_kpd: Tensor, scale_kp: Tensor) -> Tensor:
        """As the bits of float16 numbers of 2^-8 times the value: torch takes these one by one, which is far slower."""
        half_kpd = steps_kpd.view(torch.int8).to(torch.int16).bitwise_left_shift_(7).bitwise_and_(_SIGN_AND_REST)
        return half_kpd.view(torch.float16).to(self._dtype).mul_(scale_kp[..., None].to(self._dtype) * 2**8)


_SIGN_AND_REST = -0x4080
"""Bits 15 and 13 to 7 of sixteen: a number's sign, and the rest of it."""


def _nobody(_source: int, _target: int, _count: int) -> None:
    """Nobody else keeps keys at these places."""


_KINDS: dict[str, type[Pages]] = {"auto": Pages, "int8": Int8Pages, "fp8": Fp8Pages}
"""As the layers compute, or in eight bits; what engine/choices.py names."""


def pages_of(config: ModelConfig, layout: Layout, blocks: int, dtype: torch.dtype, kept_as: str) -> Pages:
    """`dtype` is what the layers compute in."""
    return _KINDS[kept_as](config, layout, blocks, dtype)


def block_bytes(config: ModelConfig, layout: Layout, dtype: torch.dtype, kept_as: str) -> int:
    """What one block takes."""
    is_scaled = issubclass(_KINDS[kept_as], ScaledPages)
    each = config.head_dim + SCALE_DTYPE.itemsize if is_scaled else config.head_dim * dtype.itemsize
    return 2 * layout.depth * config.kv_heads * layout.block * each
