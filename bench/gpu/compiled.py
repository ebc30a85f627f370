"""Compiles the kernels for Hopper where there is no GPU, and says what each takes of a processor.

Needs Triton, which brings the assembler along, and no device. What does not fit into registers goes through memory, and
what wants more shared memory than a processor has does not start, so both are bars: at most 80 bytes of the one, at
most 227 KiB of the other. The last column is the instructions of the innermost loop for each weight, or each number of
keys and values: at 4.3 TB/s and 1.75 GHz a processor has 19 bytes a cycle to take, and issues 128 instructions.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from engine.gpu import triton_between, triton_paged, triton_product, triton_rows, triton_words

HOPPER = GPUTarget("cuda", 90, 32)
TOOLS = Path(nvidia.__file__).parent / "bin"
SHARED = 227 * 1024
SPILLED = 80
HIDDEN, WIDTH, EXPERTS = 5120, 8192, 16
"""Of Scout."""
SIZES = ("inputs", "outputs", "stride", "step")
"""Numbers that a kernel is told and that are multiples of 16."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One form of a kernel. `numbers` are those that a thread takes in one turn of the loop; zero: there is none."""

    name: str
    function: Any
    types: Mapping[str, str]
    constants: Mapping[str, object]
    warps: int
    numbers: float = 0.0

    def compile(self) -> Any:
        types = {**self.types, **dict.fromkeys(self.constants, "constexpr")}
        order = self.function.arg_names
        aligned = {
            (order.index(name),): [["tt.divisibility", 16]]
            for name, kind in self.types.items()
            if kind[0] == "*" or name in SIZES
        }
        source = ASTSource(self.function, {name: types[name] for name in order}, dict(self.constants), aligned)
        return triton.compile(source, target=HOPPER, options={"num_warps": self.warps})


def products() -> Iterator[Kernel]:
    tiles = {kind: triton_product.TILES for kind in ("int4", "int8", "fp8")} | {"whole": triton_product.WHOLE_TILES}
    for kind, which in tiles.items():
        for tile in which:
            yield product(kind, tile)
    few = triton_product.TILES[0]
    yield product("int4", triton_product.TILES[1], splits=triton_product.MOST_SPLITS)
    yield product("int4", few, splits=triton_product.MOST_SPLITS)
    yield product("int4", few, group=32)
    yield product("int4", few, experts=0)
    yield product("int4", few, experts=128)


def product(kind: str, tile: Any, splits: int = 1, group: int = 128, experts: int = EXPERTS) -> Kernel:
    types = {
        "x_ptr": "*bf16",
        "words_ptr": "*bf16" if kind == "whole" else "*i32",
        "scale_ptr": "*i32" if kind == "int4" else "*fp32",
        "ends_ptr": "*i32",
        "out_ptr": "*bf16",
        "partial_ptr": "*fp32",
        "counts_ptr": "*i32",
        "rows": "i32",
    } | dict.fromkeys(SIZES, "i32")
    constants = {
        "IS_FILLED": True,
        "IS_WHOLLY_OUT": True,
        "EXPERTS": experts,
        "EXPERTS_2": max(1, experts),
        "KIND": kind,
        "GROUP": group,
        "WIDE": False,
        "ROWS": tile.rows,
        "OUT": tile.outputs,
        "SPLITS": splits,
        "MANY": tile.scales_weights,
        "STAGES": tile.stages,
    }
    name = f"product {kind} group {group} experts {experts} splits {splits} {tile.rows} x {tile.outputs}"
    numbers = tile.outputs * 128 / (32 * tile.warps)
    return Kernel(name, triton_product.grouped_product, types, constants, tile.warps, numbers)


def places(kind: str) -> dict[str, int]:
    """From output to output and from block to block: a block's words of all outputs lie together, but not of fp8."""
    words = {"int4": 16, "int8": 32}.get(kind)
    if words is None:
        return {"ROW": HIDDEN if kind == "whole" else HIDDEN // 4, "STEP": 1 if kind == "whole" else 32}
    return {"ROW": words, "STEP": 2 * WIDTH * words}


def others() -> Iterator[Kernel]:
    for kept, size in (("bf16", 2), ("i8", 1), ("fp8e4nv", 1)):
        tile, stages = triton_paged.TILES[size]
        pointers = {"q_ptr": "*bf16", "keys_ptr": f"*{kept}", "values_ptr": f"*{kept}"}
        pointers |= {"key_scales_ptr": "*bf16", "value_scales_ptr": "*bf16"}
        pointers |= dict.fromkeys(("places_ptr", "lengths_ptr", "firsts_ptr"), "*i32")
        pointers |= dict.fromkeys(("found_ptr", "peaks_ptr", "sums_ptr"), "*fp32")
        pointers |= {"places_stride": "i32", "positions": "i32", "scale": "fp32"}
        constants = {"KV_HEADS": 8, "GROUP": 5, "GROUP_2": 16, "D": 128, "D_2": 128, "BLOCK": 16, "TILE": tile}
        constants |= {"PARTS": 64, "IS_SCALED": size == 1, "HAS_FIRSTS": True, "STAGES": stages}
        numbers = 2 * 128 * tile / (32 * triton_paged.WARPS)
        yield Kernel(f"attention {kept}", triton_paged.attend_part, pointers, constants, triton_paged.WARPS, numbers)
    pointers = dict.fromkeys(("found_ptr", "peaks_ptr", "sums_ptr"), "*fp32") | {"out_ptr": "*bf16"}
    yield Kernel("join", triton_paged.join_parts, pointers, {"D": 128, "D_2": 128, "PARTS": 64, "PARTS_2": 64}, 4)
    pointers = {"x_ptr": "*bf16", "steps_ptr": "*fp8e4nv", "scale_ptr": "*fp32"}
    yield Kernel("rows", triton_rows.round_row, pointers, {"INPUTS": WIDTH, "WIDTH": WIDTH}, triton_rows.WARPS)
    for kind in ("int4", "int8"):
        pointers = {"words_ptr": "*i32", "scale_ptr": "*i32" if kind == "int4" else "*fp32", "out_ptr": "*bf16"}
        constants = {"INPUTS": HIDDEN, "OUTPUTS": 2 * WIDTH, **places(kind), "KIND": kind, "GROUP": 128, "WIDE": False}
        yield Kernel(f"widen {kind}", triton_words.widen, pointers, {**constants, "OUT": triton_words.OUT}, 4)


def between() -> Iterator[Kernel]:
    rows = dict.fromkeys(("x_ptr", "part_ptr", "found_ptr", "weight_ptr", "total_ptr", "normed_ptr"), "*bf16")
    rows |= {"place_ptr": "*i64", "eps": "fp32"}
    for places in (0, 1, 2):
        constants = {"WIDTH": HIDDEN, "WIDTH_2": 8192, "HAS_PART": places < 2, "PLACES": places}
        yield Kernel(f"sum and norm {places}", triton_between.sum_row, rows, constants, triton_between.WARPS)
    heads = dict.fromkeys(("joined_ptr", "q_weight_ptr", "k_weight_ptr", "q_ptr", "keys_ptr", "values_ptr"), "*bf16")
    heads |= {"angles_ptr": "*fp32", "heat_ptr": "*fp32", "writes_ptr": "*i64", "places": "i32", "eps": "fp32"}
    for which in ("HAS_ANGLES", "HAS_HEAT", "HAS_WEIGHTS"):
        does = {name: name in (which, "IS_UNIT") for name in ("HAS_ANGLES", "HAS_HEAT", "HAS_WEIGHTS", "IS_UNIT")}
        constants = {"HEADS": 40, "KV_HEADS": 8, "R": 64, "R_2": 64, **does}
        yield Kernel(f"turn {which}", triton_between.turn_head, heads, constants, 1)
    spread = {"x_ptr": "*bf16", "logits_ptr": "*fp32", "rows_ptr": "*bf16", "place_ptr": "*i64", "ends_ptr": "*i32"}
    spread["rows"] = "i32"
    columns = {"WIDTH": HIDDEN, "COLUMNS": triton_between.COLUMNS}
    for count in (1, 8, 64):
        constants = {"ROWS_2": count, "EXPERTS": 128, "EXPERTS_2": 128, "IS_BESIDE": count < 64}
        yield Kernel(f"spread {count} rows", triton_between.spread_row, spread, constants | columns, 4)
    yield Kernel("gate", triton_between.gate_row, {"gate_up_ptr": "*bf16", "out_ptr": "*bf16"}, columns, 4)


def told(tool: str, option: str, cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([TOOLS / tool, option, file.name], capture_output=True, text=True, check=True).stdout


def longest_loop(listing: str) -> int:
    """Instructions from a label to the branch back to it."""
    labels: dict[str, int] = {}
    count = longest = 0
    for line in listing.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = count
        elif instruction := re.match(r"\s+/\*[0-9a-f]+\*/\s+(.*?);", line):
            count += 1
            back = re.search(r"BRA.*`\((\.L_x_\d+)\)", instruction[1])
            if back and back[1] in labels:
                longest = max(longest, count - labels[back[1]])
    return longest


def main() -> int:
    """Exit status 0 when all fit, 1 when one does not."""
    fits = True
    for kernel in (*products(), *others(), *between()):
        compiled = kernel.compile()
        cubin, shared = compiled.asm["cubin"], compiled.metadata.shared
        registers, spilled = map(int, re.findall(r"REG:(\d+) STACK:(\d+)", told("cuobjdump", "-res-usage", cubin))[0])
        fits &= shared <= SHARED and spilled <= SPILLED
        each = longest_loop(told("nvdisasm", "-c", cubin)) / kernel.numbers if kernel.numbers else 0.0
        print(f"{kernel.name:55} {registers:4} registers {spilled:4} spilled {shared:7} shared {each:6.2f} a number")
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
