"""What low-rank adapters cost a batch of answers: tokens a second with none, one and four of them, on one model host.

A random Llama of some 40 M parameters has adapters of rank 16 on all its projections. Eight callers ask at once for
answers of equal length, all of the base model, all with one adapter, two with each of four, or half with one and half
with none. The ways take turns, so that what the machine does meanwhile falls on all of them; the ratio is of the
CPU time, to the base model in the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.guard_shapes import llama
from bench.model_host import BASE, NotReady, Serving, serving
from bench.processes import cpu_seconds
from engine import manifest

CALLERS, ADAPTERS, PROMPT = 8, 4, 32
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Row = tuple[float, float]
"""Tokens a second, and the host's CPU milliseconds a token: the second does not depend on who else uses the cores."""
WAYS = {
    "none": ["base"] * CALLERS,
    "one": ["base:0"] * CALLERS,
    "four": [f"base:{at % ADAPTERS}" for at in range(CALLERS)],
    "half": ["base", "base:0"] * (CALLERS // 2),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when it was measured, 2 when it was not."""
    parser = argparse.ArgumentParser(prog="python -m bench.adapters", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="torch threads of the host")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="gatehouse-adapters-") as directory:
        base = llama(Path(directory) / "model")
        adapters = {
            str(at): str(random_adapter(base, Path(directory) / str(at), args.rank, at)) for at in range(ADAPTERS)
        }
        spec = {"name": "base", "path": str(base), "task": "generate", "adapters": adapters}
        try:
            with serving([spec], args.threads, Path(directory) / "host.log") as host:
                rates = asyncio.run(_rounds(host, args.rounds, args.tokens))
        except NotReady as exc:
            print(f"not measured: {exc}", file=sys.stderr)
            return 2
    for way, rows in rates.items():
        rate, cost = (statistics.median(column) for column in zip(*rows, strict=True))
        ratios = [mine / plain for (_, mine), (_, plain) in zip(rows, rates["none"], strict=True)]
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}) times the base model's"
        print(f"{way:5} {rate:6.0f} tokens/s, {cost:5.2f} CPU ms a token, {told}")
    return 0


def random_adapter(base: Path, directory: Path, rank: int, seed: int) -> Path:
    """As PEFT writes it, with random matrices."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    with safe_open(base / "model.safetensors", framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            module = name.removesuffix(".weight")
            if name.endswith(".weight") and module.rpartition(".")[2] in PROJECTIONS:
                outputs, inputs = file.get_slice(name).get_shape()
                for side, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
                    tensor = torch.randn(shape, generator=generator) * 0.01
                    tensors[f"base_model.model.{module}.lora_{side}.weight"] = tensor
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors")
    stated = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": list(PROJECTIONS)}
    (directory / "adapter_config.json").write_text(json.dumps(stated))
    manifest.write(directory, f"random-adapter-{seed}", "Apache-2.0")
    return directory


async def _rounds(host: Serving, rounds: int, tokens: int) -> dict[str, list[Row]]:
    rates: dict[str, list[Row]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for at, (way, models) in enumerate(WAYS.items()):
            rate = await _rate(host, models, tokens, number * len(WAYS) + at)
            if number:  # the first round warms up
                rates[way].append(rate)
    return rates


async def _rate(host: Serving, models: Sequence[str], tokens: int, number: int) -> Row:
    """Over all callers, prompts included in the time: those of each number are new to the host."""
    async with host.session(len(models)) as session:

        async def ask(at: int, model: str) -> int:
            prompt = [3 + (number * 997 + at * 31 + place) % 8000 for place in range(PROMPT)]
            body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
            async with session.post(f"{BASE}/v1/completions", json=body) as response:
                if response.status != 200:
                    raise NotReady(f"the model host answered {response.status}: {await response.text()}")
                return int((await response.json())["usage"]["completion_tokens"])

        begun, used = time.monotonic(), cpu_seconds(host.pid)
        count = sum(await asyncio.gather(*(ask(at, model) for at, model in enumerate(models))))
        return count / (time.monotonic() - begun), (cpu_seconds(host.pid) - used) * 1000 / count


if __name__ == "__main__":
    sys.exit(main())
