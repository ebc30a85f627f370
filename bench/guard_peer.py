"""Judges texts one by one with another project's code, in a process and, if need be, a Python of its own.

    python guard_peer.py pipeline MODEL TEXTS.json THREADS
    python guard_peer.py llamafirewall MODEL TEXTS.json THREADS        as shipped: scanner and model anew each call
    python guard_peer.py llamafirewall-kept MODEL TEXTS.json THREADS   its scanner made once

Prints one JSON object: seconds for all texts, milliseconds of each, and the scores. This file imports nothing of
Gatehouse, so that any Python can run it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WARM_UP = 3
Judge = Callable[[str], float]


def pipeline(model: str) -> Judge:
    import transformers

    judge = transformers.pipeline("text-classification", model=model, truncation=True, max_length=512, top_k=None)

    def score(text: str) -> float:
        answer = judge(text)
        labels = answer[0] if isinstance(answer[0], list) else answer
        return float(next(one["score"] for one in labels if one["label"] == "LABEL_1"))

    return score


def llamafirewall() -> Judge:
    from llamafirewall import LlamaFirewall, Role, ScannerType, UserMessage

    firewall = LlamaFirewall({Role.USER: [ScannerType.PROMPT_GUARD]})
    return lambda text: float(firewall.scan(UserMessage(content=text)).score)


def llamafirewall_kept() -> Judge:
    import asyncio

    from llamafirewall import UserMessage
    from llamafirewall.scanners.prompt_guard_scanner import PromptGuardScanner

    scanner = PromptGuardScanner()
    return lambda text: float(asyncio.run(scanner.scan(UserMessage(content=text))).score)


def main() -> None:
    kind, model, texts_path, threads = sys.argv[1:]
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as home:
        # LlamaFirewall looks here for a model of this name and takes what it finds.
        os.environ["HF_HOME"] = home
        (Path(home) / "meta-llama--Llama-Prompt-Guard-2-86M").symlink_to(Path(model).resolve())
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        torch.set_num_threads(int(threads))
        texts = json.loads(Path(texts_path).read_text())
        judge = (
            pipeline(model) if kind == "pipeline" else {"llamafirewall": llamafirewall}.get(kind, llamafirewall_kept)()
        )
        print(json.dumps(measured(judge, texts, 1 if kind == "llamafirewall" else WARM_UP)))


def measured(judge: Judge, texts: list[str], warm_up: int) -> dict[str, object]:
    for text in texts[:warm_up]:
        judge(text)
    scores, times = [], []
    for text in texts:
        began = time.perf_counter()
        scores.append(judge(text))
        times.append((time.perf_counter() - began) * 1000)
    return {"seconds": sum(times) / 1000, "ms": times, "scores": scores}


if __name__ == "__main__":
    main()
