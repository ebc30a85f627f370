"""Judges prompts one by one with transformers' `generate`, in a process of its own.

    python generate_peer.py MODEL WORK.json THREADS DTYPE

WORK holds `messages` and `windows` (lists of token ids each) and `ids` (whose log-probabilities are compared). Prints
one JSON object: seconds and CPU seconds of each kind, and the log-probabilities after each message.
Imports nothing of Gatehouse.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

NEW_TOKENS = 5
"""A line break, `unsafe`, a line break and a category are five tokens."""
WARM_UP = 2


def main() -> None:
    checkpoint, work_path, threads, dtype = sys.argv[1:]
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(int(threads))
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, dtype), local_files_only=True).eval()
    work = json.loads(Path(work_path).read_text())

    def judge(ids: list[int]) -> None:
        tensor = torch.tensor([ids])
        mask = torch.ones_like(tensor)
        model.generate(
            tensor, attention_mask=mask, do_sample=False, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS
        )

    def timed(prompts: list[list[int]]) -> tuple[float, float]:
        began, cpu = time.perf_counter(), time.process_time()
        for ids in prompts:
            judge(ids)
        return time.perf_counter() - began, time.process_time() - cpu

    with torch.inference_mode():
        timed(work["messages"][:WARM_UP])
        told = {name: timed(work[name]) for name in ("messages", "windows")}
        scores = [
            model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float().log_softmax(-1)[work["ids"]].tolist()
            for ids in work["messages"]
        ]
    print(json.dumps(told | {"scores": scores}))


if __name__ == "__main__":
    main()
