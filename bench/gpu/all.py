"""All that waits for a GPU in one command: the tests, each kernel alone, the engine, the guards' classifiers.

NOT RUN ON A GPU YET: none was at hand when this was written. `--device cpu` runs the same parts small on a processor,
but for the tests, which wait; its figures mean nothing.

Each part is a process of its own with a bound in time, so that what hangs or runs out of memory takes nothing from the
others. What is known is written after each part, `gpu.json` with every figure and `gpu.md` as tables for
bench/README.md. Where the project is not installed: bench/bare.py. Tests that import what is missing are counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from bench.gpu.tables import written

TESTS = ("tests/engine/gpu", "tests/engine/test_device.py", "tests/engine/test_sampler.py")
MORE_TESTS = ("tests/engine/test_generator.py", "tests/engine/classifiers/test_choose.py")
EARLY_TESTS = ("tests/engine/gpu/test_graphs.py", "tests/engine/gpu/test_triton_product.py")
WORKERS = 8
"""Tests compile hundreds of small kernels, each on one core of the host."""
KEPT = 4000
"""Characters of what a part said."""
GRACE_S = 20.0
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One process. `share` of the time that is left is the most it may take; what it leaves is for the others."""

    name: str
    share: float
    command: tuple[str, ...]
    has_bound: bool = False
    """Whether it is told of its bound, and ends by itself."""
    is_early: bool = False
    """With kernels that are launched early: engine/gpu/triton_early.py."""


def parts(device: str) -> list[Part]:
    """In the order in which they are worth most if the time ends."""
    if device != "cuda":
        small = ("--device", device)
        return [
            _bench("kernels", 0.5, *small, "--rows", "1", "--precisions", "int4"),
            _bench("engine", 0.9, *small, "--shape", "tiny", "--precision", "int4", has_bound=True),
        ]
    options = ("-c", "bench/gpu/pytest.ini", "--rootdir", ".", "-q", "-m", "gpu", "--continue-on-collection-errors")
    many = ("-n", str(WORKERS)) if find_spec("xdist") else ()
    tests = ("-m", "pytest", *options, *many)
    early = ("-m", "bench.gpu.engine", "--shape", "scout-eighth", "--precision", "int4")
    return [
        Part("tests", 0.4, (*tests, *TESTS, *MORE_TESTS)),
        _bench("kernels", 0.25, "--rows", "1", "8", "64"),
        _bench("engine", 0.8, has_bound=True),
        _bench("guards", 0.4),
        Part("early-tests", 0.5, (*tests, *EARLY_TESTS), is_early=True),
        Part("early-engine", 1.0, early, has_bound=True, is_early=True),
    ]


def _bench(name: str, share: float, *options: str, has_bound: bool = False) -> Part:
    return Part(name, share, ("-m", f"bench.gpu.{name}", *options), has_bound)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when all parts ended with 0, 1 when one did not, 2 without a device."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.all", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", nargs="+", choices=[part.name for part in parts("cuda")], help="default: all")
    parser.add_argument("--seconds", type=float, default=570.0, help="of all parts together")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "var/gpu")), help="a directory")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("not measured: no CUDA device", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    found: Row = {"machine": machine(args.device), "parts": {}}
    until = time.monotonic() + args.seconds
    for part in parts(args.device):
        if args.parts is None or part.name in args.parts:
            found["parts"][part.name] = _ran(part, (until - time.monotonic()) * part.share)
            (args.out / "gpu.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
            (args.out / "gpu.md").write_text(written(found), encoding="utf-8")
    print(written(found))
    if args.device != "cuda":
        return 2
    return 0 if all(part["status"] == 0 for part in found["parts"].values()) else 1


def machine(device: str) -> Row:
    """What a figure depends on."""
    name = torch.cuda.get_device_name() if device == "cuda" else "a CPU, for trying only"
    known: Row = {"device": name, "python": sys.version.split()[0]}
    for package in ("torch", "triton", "transformers"):
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            known[package] = "missing"
    return known


def _ran(part: Part, seconds: float) -> Row:
    """What it printed as JSON is kept as its rows."""
    if seconds < GRACE_S:
        return {"status": None, "why": "out of time", "seconds": 0.0, "rows": [], "said": ""}
    bound = ("--seconds", f"{seconds - GRACE_S:.0f}") if part.has_bound else ()
    began = time.monotonic()
    print(f"{part.name}: at most {seconds:.0f} s", flush=True)
    status, said = _output([sys.executable, *part.command, *bound], seconds, part.is_early)
    print(said[-KEPT:], flush=True)
    row: Row = {"status": status, "seconds": round(time.monotonic() - began, 1), "rows": _rows(said)}
    counts = re.findall(r"(\d+) (passed|failed|skipped|errors?)", said.splitlines()[-1] if said.strip() else "")
    return row | {"counts": {kind.rstrip("s"): int(count) for count, kind in counts}, "said": said[-KEPT:]}


def _output(command: Sequence[str], seconds: float, is_early: bool = False) -> tuple[int | None, str]:
    """Its exit status, None when it had to be ended, and all that it said until then."""
    kept = {**os.environ, "PYTHONUNBUFFERED": "1", "GATEHOUSE_GPU_EARLY": str(int(is_early))}
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **told, text=True, env=kept, start_new_session=True) as process:
        try:
            said = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            # With whoever it started: they would go on, and hold its output open.
            os.killpg(process.pid, signal.SIGKILL)
            return None, process.communicate()[0]
        return process.returncode, said


def _rows(said: str) -> list[Row]:
    found = []
    for line in said.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:  # a line that something else was printed into
                continue
    return found


if __name__ == "__main__":
    sys.exit(main())
