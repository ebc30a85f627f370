"""How checkpoints store a projection in fewer bits, and the weights that are meant.

What lies beside a tensor says how to read it: `weight_scale` or `weight_scale_inv` beside floats of eight bits or whole
numbers, `weight_packed` for whole numbers of four or eight bits in words of 32. That covers what vLLM's compressor
writes (compressed-tensors: float-quantized, int-quantized, naive-quantized, pack-quantized), Meta's own fbgemm_fp8 with
its joined experts, and fp8 in blocks. The published scales of activations and of keys are left aside: nothing here is
rounded that need not be. Methods that are not known are refused before, in config_shared.py: their tensors may look
like these and mean something else.

Shapes: o outputs, i inputs, w words of a row, g groups of inputs that share a scale.
"""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor

from engine.errors import ModelRefused

BESIDE: Final = (".input_scale", ".output_scale", ".k_scale", ".v_scale", ".q_scale", ".input_zero_point")
"""Endings of tensors that only say how activations and keys may be rounded."""
FLOATS: Final = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn)
_WORD: Final = 32
_BLOCK: Final = 128
"""The usual side of a block; the last one need not be whole."""


class Tensors(Protocol):
    """A checkpoint's tensors by name. What was read counts as used."""

    def has(self, name: str) -> bool: ...

    def raw(self, name: str) -> Tensor: ...


def is_stored(tensors: Tensors, name: str) -> bool:
    """Whether the tensor is there, in whatever form."""
    return tensors.has(name) or tensors.has(name + "_packed")


def read(tensors: Tensors, name: str) -> Tensor:
    """The weights that `name` stands for: as they lie there, or in fp32 where they have scales."""
    if tensors.has(name + "_packed"):
        return _packed(tensors, name)
    stored = tensors.raw(name)
    scale = next((name + end for end in ("_scale", "_scale_inv") if tensors.has(name + end)), None)
    if scale is None:
        if stored.dtype not in FLOATS:
            raise _mismatch(f"tensor `{name}` is {stored.dtype}, expected a floating type, or a `{name}_scale`")
        return stored
    if stored.dtype not in (torch.float8_e4m3fn, torch.int8):
        raise _mismatch(f"tensor `{name}` is {stored.dtype} and has a scale, expected eight bits")
    wide, factors = stored.float(), tensors.raw(scale).float()
    zero = name + "_zero_point"
    if tensors.has(zero):
        wide = wide - _spread(tensors.raw(zero).float(), wide, zero)
    if wide.dim() == 3 and factors.shape[1:] == (wide.shape[2], 1):
        factors = factors.transpose(1, 2)  # of joined experts [e, i, o], one scale for each output [e, o, 1]
    return wide * _spread(factors, wide, scale)


def _packed(tensors: Tensors, name: str) -> Tensor:
    words_ow = tensors.raw(name + "_packed")
    shape = [int(size) for size in tensors.raw(name + "_shape")]
    outputs, inputs = shape if len(shape) == 2 else (0, 0)
    fitting = [bits for bits in (4, 8) if list(words_ow.shape) == [outputs, -(-inputs * bits // _WORD)]]
    if words_ow.dtype != torch.int32 or not fitting or not inputs:
        raise _mismatch(f"tensor `{name}_packed` does not hold {shape} numbers of four or eight bits")
    bits = fitting[0]
    whole_oi = _unpacked(words_ow, bits, inputs).float()
    scale_og = tensors.raw(name + "_scale").float()
    zero_og = None
    if tensors.has(name + "_zero_point"):  # packed along the outputs
        zero_og = _unpacked(tensors.raw(name + "_zero_point").t(), bits, outputs).t().float()
    if tensors.has(name + "_g_idx"):  # columns were put into another order before they were grouped
        group_i = tensors.raw(name + "_g_idx").long()
        if group_i.shape != (inputs,) or not 0 <= int(group_i.min()) <= int(group_i.max()) < scale_og.shape[1]:
            raise _mismatch(f"tensor `{name}_g_idx` does not give a group to each of {inputs} inputs")
        scale_og, zero_og = scale_og[:, group_i], None if zero_og is None else zero_og[:, group_i]
    if zero_og is not None:
        whole_oi = whole_oi - _spread(zero_og, whole_oi, name + "_zero_point")
    return whole_oi * _spread(scale_og, whole_oi, name + "_scale")


def _unpacked(words: Tensor, bits: int, count: int) -> Tensor:
    """The first `count` numbers of each row, the lowest bits first, less half of their range."""
    shifts = torch.arange(0, _WORD, bits, dtype=torch.int32)
    numbers = (words.contiguous()[..., None] >> shifts) & ((1 << bits) - 1)
    return numbers.flatten(-2)[..., :count] - (1 << (bits - 1))


def _spread(factors: Tensor, over: Tensor, name: str) -> Tensor:
    """One factor for each weight, or for whole axes of them: of a tensor, a row, a group or a block."""
    if factors.dim() <= 1 and factors.numel() in (1, over.shape[0]):
        return factors.reshape(-1, *[1] * (over.dim() - 1))
    if factors.dim() != over.dim():
        raise _mismatch(f"tensor `{name}` has {factors.dim()} axes, its weights have {over.dim()}")
    for axis, (has, wants) in enumerate(zip(factors.shape, over.shape, strict=True)):
        if has in (1, wants):
            continue
        block = _BLOCK if -(-wants // _BLOCK) == has else wants // max(has, 1)
        if block * has < wants:
            raise _mismatch(f"tensor `{name}` has {has} factors for {wants} weights")
        factors = factors.repeat_interleave(block, dim=axis).narrow(axis, 0, wants)
    return factors


def _mismatch(told: str) -> ModelRefused:
    return ModelRefused("weights_mismatch", told)
