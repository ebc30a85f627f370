"""What the engine's decoding and prefill cost beside transformers and llama.cpp, with the same small mixture.

A random Llama 4 of 155 million parameters, 31 million of them for each token: 8 layers, 16 experts. All sides get the
same tokens, threads and precision; sides take turns. Times are CPU seconds, because others use this machine, too.
llama.cpp runs where `--llama-cpp` names a Python that can import llama_cpp and gguf.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PRECISIONS = ("fp32", "bf16", "int8", "int4")
PREFILL, CONTEXT, STEPS = 512, 128, 33
SHAPE = {
    "vocab_size": 8192, "hidden_size": 512, "intermediate_size": 672, "intermediate_size_mlp": 672,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64,
    "num_local_experts": 16, "attention_chunk_size": 8192, "max_position_embeddings": 8192,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "initializer_range": 0.05, "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
}  # fmt: skip
BARS = (
    ("decode 1", "llama.cpp", ("fp32", "int8"), 0.6),
    ("decode 16", "llama.cpp", ("fp32", "int8"), 0.75),
    ("prefill", "llama.cpp", ("bf16",), 1.5),
    ("decode 1", "transformers", ("fp32", "bf16"), 3.0),
)
WORKS = ("prefill", "decode 1", "decode 16")
Key = tuple[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when every bar that could be measured is met, else 1; 2: not measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement in a round")
    parser.add_argument("--llama-cpp", type=Path, metavar="PYTHON", help="an interpreter with llama_cpp and gguf")
    args = parser.parse_args(argv)
    found: dict[Key, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="gatehouse-engine-") as directory:
        checkpoint = mixture(Path(directory) / "model")
        draw = random.Random(7)
        ids = [draw.randrange(16, SHAPE["vocab_size"]) for _ in range(PREFILL)]  # type: ignore[call-overload]
        work = Path(directory) / "work.json"
        work.write_text(json.dumps({"ids": ids, "context": CONTEXT, "steps": STEPS, "repeats": args.repeats}))
        for _ in range(args.rounds):
            for side, precision, command in _commands(checkpoint, work, args):
                done = subprocess.run(command, capture_output=True, text=True, env=_environment(args.threads))
                if done.returncode:
                    print(f"not measured: {side} {precision}: {done.stderr[-400:]}", file=sys.stderr)
                    return 2
                found.setdefault((side, precision), []).append(json.loads(done.stdout.splitlines()[-1]))
    rates = {key: {work: _rate(runs, work) for work in WORKS} for key, runs in found.items()}
    print(_table(rates, found))
    return 0 if _judged(rates) else 1


def mixture(directory: Path) -> Path:
    """The checkpoint, in fp32."""
    import torch
    from transformers import Llama4ForCausalLM, Llama4TextConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(7)
    Llama4ForCausalLM(Llama4TextConfig(**SHAPE)).save_pretrained(directory)
    return directory


def _commands(checkpoint: Path, work: Path, args: argparse.Namespace) -> list[tuple[str, str, list[str]]]:
    """Sides of one precision one after the other, so that a slow minute of the machine meets all of them."""
    commands = []
    for precision in PRECISIONS:
        own = [sys.executable, "-m", "bench.engine_side"]
        rest = [str(checkpoint), precision, str(work), str(args.threads)]
        commands.append(("ours", precision, [*own, "ours", *rest]))
        if args.llama_cpp and precision != "int4":
            peer = Path(__file__).with_name("llama_cpp_peer.py")
            commands.append(("llama.cpp", precision, [str(args.llama_cpp), str(peer), *rest]))
        if precision in ("fp32", "bf16"):
            commands.append(("transformers", precision, [*own, "transformers", *rest]))
    return commands


def _environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}


def _rate(runs: list[dict[str, Any]], work: str) -> float:
    """Tokens a CPU second, the median of all repeats."""
    tokens = {"prefill": PREFILL, "decode 1": STEPS - 1, "decode 16": 16 * (STEPS - 1)}[work]
    return tokens / statistics.median(cpu for run in runs for _, cpu in run[work])


def _table(rates: dict[Key, dict[str, float]], found: dict[Key, list[dict[str, Any]]]) -> str:
    exact = found["ours", "fp32"][0]["logits"]
    lines = [
        "| | precision | prefill | decode, 1 | decode, 16 | memory MB | logits off |",
        "|---|---|---|---|---|---|---|",
    ]
    for (side, precision), rate in rates.items():
        one = found[side, precision][0]
        off = max(abs(x - y) for x, y in zip(one["logits"], exact, strict=True))
        memory = f"{one['resident'] / 1e6:.0f}" if "resident" in one else "–"
        shown = " | ".join(f"{rate[work]:.0f}" for work in WORKS)
        lines.append(f"| {side} | {precision} | {shown} | {memory} | {off:.2g} |")
    return "\n".join(lines)


def _judged(rates: dict[Key, dict[str, float]]) -> bool:
    is_met = True
    for work, peer, precisions, bar in BARS:
        for precision in precisions:
            if (peer, precision) in rates:
                ratio = rates["ours", precision][work] / rates[peer, precision][work]
                is_met &= ratio >= bar
                print(f"{work}, {precision}: {ratio:.2f} of {peer}, bar {bar}: {'met' if ratio >= bar else 'missed'}")
            else:
                print(f"{work}, {precision}: no {peer} to compare with")
    return is_met


if __name__ == "__main__":
    sys.exit(main())
