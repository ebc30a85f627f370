"""Compile the loops before the first start instead of in it: `python -m engine.fused.ahead`.

Whoever installs runs this as the user who will run the model host: code is kept where that user keeps it. The shipped
starter engine stands for all models, because what is compiled depends on the types of its numbers and on nothing else.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.choices import KV_PRECISIONS
from engine.fused.choose import is_available
from engine.generator import load_generator
from engine.matrix import DTYPES
from engine.options import Options

STARTER = Path(__file__).parents[1] / "starter" / "model"
KV_BYTES = 16 << 20
"""Enough for the few tokens that it computes."""


def main(argv: Sequence[str] | None = None, has_loops: Callable[[], bool] = is_available) -> int:
    """Exit status 0: what is named is compiled; 2: without the extra `fast` there is nothing to compile."""
    parser = argparse.ArgumentParser(prog="python -m engine.fused.ahead", description=__doc__.split("\n", 1)[0])
    kinds = KV_PRECISIONS["generate"]
    parser.add_argument("--precision", nargs="+", choices=tuple(DTYPES), default=["fp32"], help="of weights; fp32")
    parser.add_argument("--kv-precision", nargs="+", choices=kinds, default=["auto"], help="of keys and values; auto")
    args = parser.parse_args(argv)
    if not has_loops():
        print("the extra `fast` is not installed: there are no loops to compile", file=sys.stderr)
        return 2
    began = time.monotonic()
    for precision in args.precision:
        for kept_as in args.kv_precision:
            load_generator(STARTER, Options(KV_BYTES, precision, kv_precision=kept_as))
    print(f"loops are compiled for {', '.join(args.precision)}: {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
