"""How the engine's cost grows: with the context, with the batch, with the number of experts, and with less memory.

Small random mixtures, one thread, through scheduler and cache but without HTTP; times are CPU time, because others use
this machine, too. `--plots DIR` writes what was measured as SVG.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.engine_side import resident
from bench.plot import Point, chart
from engine.config import read_config
from engine.device import CPU
from engine.events import Event, Finished, GenerateRequest, Sampling
from engine.form import form_for
from engine.fused.choose import fused, is_available
from engine.kv_cache import KvCache
from engine.mapped import MappedFiles
from engine.matrix import DTYPES
from engine.pages import block_bytes
from engine.runner import ModelRunner
from engine.scheduler import GenerateLane
from engine.sequence import Sequence as Asked
from engine.size import kv_of
from engine.weights import load_weights

CONTEXTS = (1024, 4096, 16_384, 32_768, 65_536, 131_072)
BATCHES = (1, 2, 4, 8, 16, 32)
EXPERTS = (2, 8, 32, 128)
CHUNK, STEPS, ROUNDS = 1024, 32, 3
SHAPE = {
    "vocab_size": 1024, "hidden_size": 64, "intermediate_size": 128, "intermediate_size_mlp": 128,
    "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
    "num_local_experts": 4, "attention_chunk_size": CHUNK, "max_position_embeddings": 2 * CONTEXTS[-1],
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "initializer_range": 0.05,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
}  # fmt: skip
WIDE = {
    "hidden_size": 256, "intermediate_size": 336, "intermediate_size_mlp": 336, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "num_local_experts": 16, "max_position_embeddings": 8192,
}  # fmt: skip
Lines = dict[str, list[Point]]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0: it was measured; there is no bar."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=tuple(MEASURED), action="append", help="not all of it; may be repeated")
    parser.add_argument("--longest", type=int, default=CONTEXTS[-1], metavar="N", help="no context beyond N")
    parser.add_argument("--plots", type=Path, metavar="DIR")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for name in args.only or MEASURED:
        with tempfile.TemporaryDirectory(prefix="gatehouse-growth-") as directory:
            for file, drawing in MEASURED[name](Path(directory), args.longest):
                if args.plots is not None:
                    args.plots.mkdir(parents=True, exist_ok=True)
                    (args.plots / f"engine-{file}.svg").write_text(drawing)
    return 0


def context(directory: Path, longest: int) -> list[tuple[str, str]]:
    """Each context takes the one before over, so the longest prompt is computed once; answers of 32 tokens follow."""
    checkpoint = mixture(directory, SHAPE)
    contexts = [one for one in CONTEXTS if one <= longest]
    draw = random.Random(7)
    ids = tuple(draw.randrange(16, 1024) for _ in range(contexts[-1]))
    held: Lines = {"kept": [], "kept, eight bits": [], "if all layers kept all": []}
    times: Lines = {"a token of an answer": [], "a token of the prompt": []}
    for kept_as in ("auto", "int8"):
        bench = Bench(checkpoint, contexts[-1] + 4096, kept_as)
        for size, before in zip(contexts, (0, *contexts), strict=False):
            prompt_s = bench.seconds([ids[:size]], 1)[0]
            spent = [bench.seconds([ids[:size]], STEPS + 1) for _ in range(ROUNDS)]
            answer_s, blocks = statistics.median(one for one, _ in spent), spent[0][1]
            each_ms = 1000 * answer_s / (STEPS + 1)
            kept = blocks * bench.block_bytes
            held["kept" if kept_as == "auto" else "kept, eight bits"].append((size, kept / 1e6))
            print(f"{kept_as:5}{size:>8} positions: {kept / 1e6:7.1f} MB, answer {each_ms:6.2f} ms a token, "
                  f"prompt {1000 * prompt_s / (size - before):6.3f} ms a new token")  # fmt: skip
            if kept_as == "auto":
                whole = kv_of(bench.config, "fp32").bytes_for(size, hybrid=False)
                held["if all layers kept all"].append((size, whole / 1e6))
                times["a token of an answer"].append((size, each_ms))
                times["a token of the prompt"].append((size, 1000 * prompt_s / (size - before)))
            if kept_as == "int8" and size >= 16_384:
                break
    told = f"positions of one sequence (one full and three chunked layers, chunk {CHUNK})"
    return [
        ("context-memory", chart("Keys and values against context", told, "MB", held)),
        ("context-time", chart("Time against context", told, "CPU ms", times)),
    ]


def batch(directory: Path, longest: int) -> list[tuple[str, str]]:
    checkpoint = mixture(directory, SHAPE | WIDE)
    rates: Lines = {}
    for precision in ("fp32", "bf16", "int8"):
        rates[precision] = []
        for size in BATCHES:
            bench = Bench(checkpoint, size * 256, precision=precision)
            prompts = [tuple(range(20 + at, 148 + at)) for at in range(size)]
            bench.seconds(prompts, 1)
            spent = statistics.median(bench.seconds(prompts, STEPS + 1)[0] for _ in range(ROUNDS))
            rates[precision].append((size, size * (STEPS + 1) / spent))
            print(f"{precision:5}batch {size:>3}: {rates[precision][-1][1]:7.0f} tokens a CPU second")
    return [("batch", chart("Answers against batch", "answers at once", "tokens a CPU second", rates))]


def experts(directory: Path, longest: int) -> list[tuple[str, str]]:
    """One expert a token, of so many; transformers runs every token through all of them."""
    times: Lines = {"ours": [], "transformers": []}
    for count in EXPERTS:
        checkpoint = mixture(directory / str(count), SHAPE | WIDE | {"num_local_experts": count})
        bench, prompt = Bench(checkpoint, 1024), tuple(range(20, 148))
        bench.seconds([prompt], 1)
        spent = statistics.median(bench.seconds([prompt], STEPS + 1)[0] for _ in range(ROUNDS))
        times["ours"].append((count, 1000 * spent / (STEPS + 1)))
        times["transformers"].append((count, 1000 * _theirs(checkpoint, prompt) / STEPS))
        print(f"{count:>4} experts: " + ", ".join(f"{name} {line[-1][1]:.2f} ms" for name, line in times.items()))
    return [("experts", chart("A token's time against experts", "routed experts", "CPU ms", times))]


def offload(directory: Path, longest: int) -> list[tuple[str, str]]:
    """In processes of their own would be cleaner; here the difference to before loading is told."""
    checkpoint = mixture(directory, SHAPE | WIDE | {"num_local_experts": 128, "hidden_size": 512})
    prompts = [tuple(range(20 + 37 * at, 148 + 37 * at)) for at in range(4)]
    size = (checkpoint / "model.safetensors").stat().st_size / 1e6
    print(f"the checkpoint has {size:.0f} MB")
    for told, mapped in (("64 MB of experts", 64), ("all that fits", 0), ("loaded", None)):
        before = resident()
        bench = Bench(checkpoint, 1024, mapped=None if mapped is None else MappedFiles(mapped * 10**6))
        bench.seconds(prompts, 1)
        spent = statistics.median(bench.seconds(prompts, STEPS + 1)[0] for _ in range(ROUNDS))
        rate = len(prompts) * (STEPS + 1) / spent
        print(f"{told:18}{(resident() - before) / 1e6:7.0f} MB more in memory, {rate:6.0f} tokens a CPU second")
    return []


MEASURED: Mapping[str, Callable[[Path, int], list[tuple[str, str]]]] = {
    "context": context, "batch": batch, "experts": experts, "offload": offload,
}  # fmt: skip


class Bench:
    """One model with one cache and a lane over it."""

    def __init__(
        self,
        checkpoint: Path,
        positions: int,
        kept_as: str = "auto",
        precision: str = "fp32",
        mapped: MappedFiles | None = None,
    ) -> None:
        self.config = read_config(checkpoint)
        dtype = DTYPES[precision]
        form = form_for(precision, CPU, is_gpu=False, in_loops=is_available())
        weights = load_weights(checkpoint, self.config, dtype, form, mapped)
        runner = fused(self.config, weights, ModelRunner(self.config, weights), is_available())
        self._cache = KvCache(self.config, positions, dtype, kept_as=kept_as)
        self.block_bytes = block_bytes(self.config, self._cache.layout, dtype, kept_as)
        self._lane = GenerateLane(runner, self._cache, self.config.max_positions)

    def seconds(self, prompts: Sequence[tuple[int, ...]], tokens: int) -> tuple[float, int]:
        """CPU time of answering all at once, and the most blocks that were held meanwhile, ahead of use or not."""
        ended: list[Event] = []
        sampling, wanted = Sampling(temperature=0), []
        for prompt in prompts:
            request = GenerateRequest(prompt, tokens, 1e12, sampling, ignores_end=True)
            wanted.append(Asked(request, _Nothing(), frozenset(), ended.append))
        begun, held = time.process_time(), 0
        self._lane.add(wanted)
        while (work := self._lane.next(0.0)) is not None:
            held = max(held, self._cache.held)
            work.run()
        if sum(isinstance(one, Finished) for one in ended) != len(prompts):
            raise AssertionError("not all answers came to their end")
        return time.process_time() - begun, held


class _Nothing:
    """Tokens have no text here."""

    def text(self, ids: Sequence[int]) -> str:
        return ""


def mixture(directory: Path, shape: Mapping[str, Any]) -> Path:
    """A random Llama 4 of that shape, in fp32."""
    from transformers import Llama4ForCausalLM, Llama4TextConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(7)
    Llama4ForCausalLM(Llama4TextConfig(**shape)).save_pretrained(directory)
    return directory


def _theirs(checkpoint: Path, prompt: tuple[int, ...]) -> float:
    """CPU seconds of STEPS tokens of an answer, its prompt taken off."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, local_files_only=True).eval()
    ids = torch.tensor([prompt])

    def spent(count: int) -> float:
        begun = time.process_time()
        model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count,
                       min_new_tokens=count)  # fmt: skip
        return time.process_time() - begun

    spent(1)
    return statistics.median(spent(STEPS + 1) - spent(1) for _ in range(ROUNDS))


if __name__ == "__main__":
    sys.exit(main())
