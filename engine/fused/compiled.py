"""Functions of plain loops, compiled for this processor when they are first called.

A decoding step makes some hundred small calls; each through torch costs several microseconds before it computes. numba
is an extra: who has not installed it gets torch's path, which computes the same. The machine code is kept beside the
source, or in the user's cache where that cannot be written; where neither can be, it is made at each start.
A loop takes numbers of other folders as arguments: what it reads elsewhere is frozen when it is compiled.
Compiled functions hold no lock of the interpreter, so other threads run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from engine.fused.code_cache import keep_code

Function = TypeVar("Function", bound=Callable[..., Any])
REORDERED = frozenset({"reassoc", "contract", "arcp", "nsz"})
"""Sums may be made in lanes. What is no number stays none: a guard must never read a verdict out of it."""


def compiled(function: Function, allowed: frozenset[str] = REORDERED) -> Function:
    """The same function, fast."""
    found = numba.njit(nogil=True, fastmath=set(allowed), error_model="numpy")(function)
    keep_code(found)
    return cast(Function, found)


def compiled_as_written(function: Function) -> Function:
    """Sums in their order: for what is exact only then."""
    return compiled(function, frozenset({"contract"}))


def wide(stored: Any) -> Any:
    """In loops only: as fp32. Whole numbers without a sign are bits: 16 of them bf16, the upper half of fp32, 8 float8.

    Float8 has a sign, four bits of exponent and three of fraction (e4m3fn); its NaN is not known here.
    """
    raise NotImplementedError


# numba wants the same annotations in what types and in what computes.
@overload(wide)
def _wide(stored: Any) -> Callable[..., Any]:
    def of_bf16(stored: Any) -> Any:
        return np.uint32(np.uint32(stored) << np.uint32(16)).view(np.float32)

    def of_float8(stored: Any) -> Any:
        rest = np.uint32(stored) & np.uint32(0x7F)
        normal = np.uint32((rest << np.uint32(20)) + np.uint32(120 << 23)).view(np.float32)
        # Without an exponent it is steps of 2^-9.
        size = normal if rest > np.uint32(7) else np.float32(np.int32(rest)) * np.float32(2.0**-9)
        return -size if stored > 127 else size

    def of_others(stored: Any) -> Any:
        return np.float32(stored)

    return {types.uint16: of_bf16, types.uint8: of_float8}.get(stored, of_others)


def put(memory: Any, place: tuple[int, ...], value: Any) -> None:
    """In loops only: keep an fp32 number as the memory keeps numbers, rounded to nearest.

    In eight bits that is for numbers within what they can hold.
    """
    raise NotImplementedError


@overload(put)
def _put(memory: Any, place: Any, value: Any) -> Callable[..., None]:
    def rounded(memory: Any, place: Any, value: Any) -> None:
        if value != value:
            memory[place] = 0x7FC0
        else:
            bits = np.float32(value).view(np.uint32)
            memory[place] = np.uint16(
                (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            )

    def whole(memory: Any, place: Any, value: Any) -> None:
        memory[place] = np.int8(np.rint(value))

    def float8(memory: Any, place: Any, value: Any) -> None:
        bits, size = np.float32(value).view(np.uint32), abs(np.float32(value))
        rest = bits & np.uint32(0x7FFFFFFF)
        half = np.uint32(0x7FFFF) + ((rest >> np.uint32(20)) & np.uint32(1))
        normal = np.uint32((rest - np.uint32(120 << 23) + half) >> np.uint32(20))
        small = np.uint32(np.int32(np.rint(size * np.float32(2.0**9))))
        kept = normal if size >= np.float32(2.0**-6) else small
        memory[place] = np.uint8(kept | ((bits >> np.uint32(24)) & np.uint32(0x80)))

    def same(memory: Any, place: Any, value: Any) -> None:
        memory[place] = value

    return {types.uint16: rounded, types.int8: whole, types.uint8: float8}.get(memory.dtype, same)


# llvmlite has no types.
def _prefetch(typing: Any, memory: Any, offset: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(builder.bitcast(array.data, byte), [arguments[1]])
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        # To read, to be used again, data.
        how = (ir.Constant(number, one) for one in (0, 3, 1))
        builder.call(builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind), [place, *how])
        return context.get_dummy_value()

    return types.void(memory, types.int64), build


prefetch = cast(Callable[[Any, int], None], intrinsic(_prefetch))
"""In loops only: have the bytes of an array from this offset on brought near."""
