"""`gatehouse size`: what of a model fits into a memory, with which context, and why.

The engine knows how it reads a configuration, so it does the arithmetic, in a process of its own; the gateway imports
nothing of it. Arguments are passed on as they are, and a wrong one is refused there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

PROGRAM: Final = (sys.executable, "-m", "engine.size_command")
_PASSED_ON: Final = ("model", "gpu", "precision", "kv", "context", "sequences", "workspace")


def add_size_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `size`."""
    size = subparsers.add_parser(
        "size",
        help="say what of a model fits into a memory",
        description="Say what of a model fits into a memory, with which context, and why: weights by kind, keys and\n"
        "values, and what is left. Reads at most one config.json; loads and contacts nothing.",
        epilog="example: gatehouse size --model scout --gpu h200 --precision int4 --context 131072\n"
        "exit status: 0 it fits, 1 it does not, 2 the model or an argument cannot be read",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    size.add_argument(
        "--model", required=True, metavar="NAME|PATH", help="scout, maverick, llama-guard-4, … or a directory"
    )
    size.add_argument("--gpu", required=True, metavar="h100|h200|GB", help="a card, or so many GB (10^9 bytes)")
    size.add_argument("--precision", help="of the weights: bf16, fp8, int8, int4, int4-experts, fp32; default: each")
    size.add_argument("--kv", help="of keys and values: bf16 (default), fp8, fp32, int8")
    size.add_argument("--context", metavar="N", help="positions of a sequence; default 8192")
    size.add_argument("--sequences", metavar="N", help="sequences at once; default 1")
    size.add_argument("--workspace", metavar="GB", help="kept for driver and activations; default 4")
    size.add_argument("--json", action="store_true", help="one JSON object")
    size.set_defaults(run=run_size)


def run_size(args: argparse.Namespace, program: Sequence[str] = PROGRAM) -> int:
    """The engine's exit status."""
    given = [f"--{name}={value}" for name in _PASSED_ON if (value := getattr(args, name)) is not None]
    sys.stdout.flush()
    command = [*program, *given, *(["--json"] if args.json else [])]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - no shell, and our own program
