"""One side of the engine's benchmark in a process of its own: our runner, or transformers' `generate`.

    python -m bench.engine_side ours|transformers CHECKPOINT PRECISION WORK.json THREADS

Prints one JSON object: seconds and CPU seconds of each measurement, the memory of the weights, and logits to compare.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Told = dict[str, Any]
Pair = tuple[float, float]


def timed(call: Callable[[], object]) -> Pair:
    began, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - cpu


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ours(checkpoint: Path, precision: str, work: Told) -> Told:
    """Without HTTP and scheduler: what the model and its cache cost."""
    from engine.config import read_config
    from engine.device import CPU
    from engine.form import form_for
    from engine.fused.choose import fused, is_available
    from engine.kv_cache import KvCache, Slot
    from engine.matrix import DTYPES
    from engine.memory import give_back
    from engine.runner import ModelRunner, Run
    from engine.weights import load_weights

    config = read_config(checkpoint)
    form = form_for(precision, CPU, is_gpu=False, in_loops=is_available())
    weights = load_weights(checkpoint, config, DTYPES[precision], form)
    give_back()
    runner = fused(config, weights, ModelRunner(config, weights), is_available())
    ids, context, steps = work["ids"], work["context"], work["steps"]

    def filled(cache: KvCache, prompt: list[int], room: int) -> Slot:
        slot = cache.reserve(len(prompt) + room, keeps_all=True)
        if slot is None:
            raise AssertionError("an empty cache has room")
        told["logits"] = runner.step([Run(slot, prompt, [len(prompt) - 1])])[0].tolist()
        return slot

    def prefill() -> None:
        filled(KvCache(config, 1024, DTYPES[precision]), ids, 0)

    told: Told = {"prefill": [], "decode 1": [], "decode 16": []}
    prefill()
    first = told["logits"]
    for _ in range(work["repeats"]):
        told["prefill"].append(timed(prefill))
        for batch in (1, 16):
            cache = KvCache(config, batch * 512, DTYPES[precision])
            slots = [filled(cache, ids[one : one + context], steps) for one in range(batch)]
            runner.step([Run(slot, ids[:1], [0]) for slot in slots])
            rest = ids[1:steps]
            told[f"decode {batch}"].append(
                timed(lambda slots=slots, rest=rest: [runner.step([Run(s, [i], [0]) for s in slots]) for i in rest])
            )
    return told | {"logits": first, "resident": resident()}


def transformers(checkpoint: Path, precision: str, work: Told) -> Told:
    """Its own loop; a prompt's pass is taken off the time of an answer."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype, local_files_only=True).eval()
    ids, context, steps = work["ids"], work["context"], work["steps"]

    def generate(batch: int, count: int) -> None:
        tensor = torch.tensor([ids[one : one + context] for one in range(batch)])
        model.generate(
            tensor, attention_mask=torch.ones_like(tensor), do_sample=False, max_new_tokens=count, min_new_tokens=count
        )

    told: Told = {"prefill": [], "decode 1": [], "decode 16": []}
    with torch.inference_mode():
        logits = model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float().tolist()
        generate(1, 2)
        for _ in range(work["repeats"]):
            told["prefill"].append(timed(lambda: model(torch.tensor([ids]), logits_to_keep=1)))
            for batch in (1, 16):
                short, long = timed(lambda b=batch: generate(b, 1)), timed(lambda b=batch: generate(b, steps))
                told[f"decode {batch}"].append(tuple(one - other for one, other in zip(long, short, strict=True)))
    return told | {"logits": logits, "resident": resident()}


def main() -> None:
    side, checkpoint, precision, work_path, threads = sys.argv[1:]
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    import torch

    torch.set_num_threads(int(threads))
    work = json.loads(Path(work_path).read_text())
    measure = {"ours": ours, "transformers": transformers}[side]
    print(json.dumps(measure(Path(checkpoint), precision, work)))


if __name__ == "__main__":
    main()
