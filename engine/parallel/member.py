"""`python -m engine.parallel.member`: one of the further processes of a model.

Reads its share of the layers, says `ready`, and then computes whatever it is told on its standard input, until that
ends. It answers nobody: what it has computed goes into sums. Exit status 2 says that the checkpoint is not for it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from engine.config import read_config
from engine.errors import ModelRefused
from engine.generator import capacity_for
from engine.kv_layout import layout_of
from engine.matrix import DTYPES, LAYS
from engine.model.decoder import through
from engine.model.rope import frequencies
from engine.pages import pages_of
from engine.parallel.order import Copy, next_order, read_order
from engine.parallel.share import Share, divided
from engine.parallel.team import Group
from engine.weights import load_layers

REFUSED = 2


class Member:
    """The layers, the memory of keys and values, and nothing else."""

    def __init__(self, args: argparse.Namespace) -> None:
        whole, dtype = read_config(args.directory), DTYPES[args.precision]
        self._config = divided(whole, args.world)
        self._layers = load_layers(args.directory, whole, dtype, LAYS[args.precision], Share(args.rank, args.world))
        self._layout = layout_of(self._config)
        blocks = capacity_for(self._config, args.kv_bytes, dtype, args.kv_precision) // self._layout.block
        self._pages = pages_of(self._config, self._layout, blocks * self._layout.units, dtype, args.kv_precision)
        self._frequencies_r, self._dtype = frequencies(self._config), dtype

    def meet(self, group: Group) -> None:
        """Everybody has loaded."""
        self._group = group

    def obey(self, numbers: tuple[int, ...]) -> None:
        order = read_order(numbers, self._layout, self._pages)
        if isinstance(order, Copy):
            self._pages.copy(order.source, order.target, order.count)
            return
        x_tD = torch.empty(len(order.positions_t), self._config.hidden, dtype=self._dtype)
        with torch.inference_mode():
            self._group.share(x_tD)
            through(
                self._config, self._layers, self._frequencies_r, x_tD, order.positions_t, order.planned,
                total=self._group.total,
            )  # fmt: skip


def main() -> int:
    args = _parser().parse_args()
    torch.set_num_threads(args.threads)
    try:
        member = Member(args)
    except ModelRefused as exc:
        print(f"{exc.code}: {exc.problem}", file=sys.stderr)
        return REFUSED
    print("ready", flush=True)
    member.meet(Group(args.meeting, args.rank, args.world))
    while (numbers := next_order(sys.stdin.buffer)) is not None:
        member.obey(numbers)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.parallel.member", description=__doc__.split("\n", 1)[0])
    for name, kind in (("directory", Path), ("meeting", Path), ("precision", str), ("kv-precision", str)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    for name in ("rank", "world", "kv-bytes", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
