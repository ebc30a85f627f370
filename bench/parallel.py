"""What dividing a model between two processes costs or saves, beside one process with as many threads.

    python -m bench.parallel [--steps N]

The mixture of bench.engine in bf16: seconds for a prompt of 512 tokens, tokens a second of one answer and of 16. Wall
time, because the processes wait for each other; the two ways take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Before torch is imported: threads that spin at barriers would measure who else uses the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from bench.engine import mixture
from engine.config import read_config
from engine.kv_cache import KvCache
from engine.matrix import DTYPES, LAYS
from engine.model.decoder import ALONE
from engine.parallel.share import Share, divided
from engine.parallel.team import Task, Team
from engine.runner import ModelRunner, Run
from engine.weights import load_weights

PRECISION, PROMPT, ROUNDS = "bf16", 512, 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.parallel", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=24)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory(prefix="gatehouse-parallel-") as place:
        checkpoint = mixture(Path(place) / "model")
        team = Team(Task(checkpoint, 2, PRECISION, 256 * 1024**2, threads=1))
        ways = {"one process, two threads": None, "two processes, one thread each": team}
        runners = {name: _runner(checkpoint, one) for name, one in ways.items()}
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (runner, cache) in runners.items():
                torch.set_num_threads(2 if ways[name] is None else 1)
                found[name].append(_measured(runner, cache, steps))
        team.close()
    print("| | prompt of 512, s | one answer, tokens/s | 16 answers, tokens/s |\n|---|---|---|---|")
    for name, rows in found.items():
        prompt, one, many = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {name} | {prompt:.2f} | {one:.0f} | {many:.0f} |")


def _runner(checkpoint: Path, team: Team | None) -> tuple[ModelRunner, KvCache]:
    whole, world = read_config(checkpoint), 1 if team is None else 2
    config = divided(whole, world)
    weights = load_weights(checkpoint, whole, DTYPES[PRECISION], LAYS[PRECISION], share=Share(0, world))
    cache = KvCache(config, 16 * 256, DTYPES[PRECISION])
    if team is not None:
        cache.pages.told = team.copied
    return ModelRunner(config, weights, company=team or ALONE), cache


def _measured(runner: ModelRunner, cache: KvCache, steps: int) -> tuple[float, float, float]:
    slot = cache.reserve(PROMPT)
    assert slot is not None
    prompt = _timed(lambda: runner.step([Run(slot, range(16, 16 + PROMPT), [PROMPT - 1])]))
    cache.release(slot)
    rates = []
    for count in (1, 16):
        slots = [one for _ in range(count) if (one := cache.reserve(64 + steps)) is not None]
        runner.step([Run(one, range(16, 80), [63]) for one in slots])
        seconds = _timed(lambda slots=slots: [runner.step([Run(one, [9], [0]) for one in slots]) for _ in range(steps)])
        rates.append(count * steps / seconds)
        for one in slots:
            cache.release(one)
    return prompt, rates[0], rates[1]


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
