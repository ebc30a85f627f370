"""`python -m engine.parallel.member`: one of the further processes of a model.

Reads its share of the layers, says `ready`, and then computes whatever it is told on its standard input, until that
ends. It answers nobody: what it has computed goes into sums, and `ready` is said once more for each adapter that it has
read. Exit status 2 says that the checkpoint, or an adapter, is not for it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from engine.adapters import Adapter, load_adapter
from engine.config import read_config
from engine.errors import ModelRefused
from engine.kv_layout import layout_of
from engine.lanes import capacity_for
from engine.mapped import MappedFiles
from engine.matrix import DTYPES, LAYS
from engine.model.decoder import through
from engine.model.rope import frequencies
from engine.pages import pages_of
from engine.parallel.order import Add, Copy, Forget, Step, next_order, read_order
from engine.parallel.share import Share, divided
from engine.parallel.team import Group
from engine.weights import load_layers

REFUSED = 2


class Member:
    """The layers, what adapters add to them, the memory of keys and values, and nothing else."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._whole, dtype = read_config(args.directory), DTYPES[args.precision]
        self._config, self._share = divided(self._whole, args.world), Share(args.rank, args.world)
        self._layers = load_layers(
            args.directory, self._whole, dtype, LAYS[args.precision],
            MappedFiles(args.resident_bytes) if args.offload else None, self._share,
        )  # fmt: skip
        self._adapters: dict[int, Adapter] = {}
        self._layout = layout_of(self._config)
        blocks = capacity_for(self._config, args.kv_bytes, dtype, args.kv_precision) // self._layout.block
        self._pages = pages_of(self._config, self._layout, blocks * self._layout.units, dtype, args.kv_precision)
        self._frequencies_r, self._dtype = frequencies(self._config), dtype

    def meet(self, group: Group) -> None:
        """Everybody has loaded."""
        self._group = group

    def obey(self, numbers: tuple[int, ...]) -> None:
        order = read_order(numbers, self._layout, self._pages)
        match order:
            case Copy():
                self._pages.copy(order.source, order.target, order.count)
            case Add():
                self._adapters[order.number] = self._read(order)
                print("ready", flush=True)
            case Forget():
                del self._adapters[order.number]
            case Step():
                self._compute(order)

    def _read(self, order: Add) -> Adapter:
        adapter = load_adapter(order.directory, self._whole, self._dtype, share=self._share)
        if adapter.digest != order.digest:
            raise ModelRefused("file_corrupt", f"`{order.directory}` has changed since it was first read")
        return adapter

    def _compute(self, step: Step) -> None:
        x_tD = torch.empty(len(step.positions_t), self._config.hidden, dtype=self._dtype)
        adapters = [(rows, self._adapters[number]) for rows, number in step.adapters]
        with torch.inference_mode():
            self._group.share(x_tD)
            through(
                self._config, self._layers, self._frequencies_r, x_tD, step.positions_t, step.planned, adapters,
                self._group.total,
            )  # fmt: skip


def main() -> int:
    args = _parser().parse_args()
    torch.set_num_threads(args.threads)
    try:
        member = Member(args)
        print("ready", flush=True)
        member.meet(Group(args.meeting, args.rank, args.world))
        while (numbers := next_order(sys.stdin.buffer)) is not None:
            member.obey(numbers)
    except ModelRefused as exc:
        print(f"{exc.code}: {exc.problem}", file=sys.stderr)
        return REFUSED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.parallel.member", description=__doc__.split("\n", 1)[0])
    for name, kind in (
        ("directory", Path),
        ("meeting", Path),
        ("precision", str),
        ("kv-precision", str),
        ("offload", str),
    ):
        parser.add_argument(f"--{name}", type=kind, required=True)
    for name in ("rank", "world", "kv-bytes", "threads", "resident-bytes"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
