"""What fewer bits cost in accuracy, on the one trained model that ships: the starter engine, on unseen prompts.

Every held-out prompt with its expected answer goes through the model once, in short pieces; right is an answer each of
whose tokens is the likeliest one. Beside it how far the log-probability of the answer's first token moves from fp32,
which is what a guard's score is made of.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
from tokenizers import Tokenizer

from engine.config import read_config
from engine.device import CPU
from engine.form import form_for
from engine.fused.choose import fused, is_available
from engine.kv_cache import KvCache
from engine.matrix import DTYPES, LAYS
from engine.runner import ModelRunner, Run
from engine.starter.train.chat import Chat
from engine.starter.train.corpus import FALLBACK, lines, load_intents
from engine.weights import load_weights

MODEL = Path(__file__).resolve().parent.parent / "engine" / "starter" / "model"
PIECE = 32
"""Tokens of a step: so few that loops compute them where they are installed, as they do in decoding."""
Judged = tuple[bool, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0: it was measured; there is no bar."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine_accuracy", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--every", type=int, default=1, help="take every Nth prompt")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    chat = Chat(tokenizer)
    pairs = [(prompt, intent.answer) for intent in load_intents() for prompt in intent.held_out]
    pairs += [(prompt, FALLBACK) for prompt in lines("holdout_offtopic.txt")]
    asked = [(chat.prompt([("user", prompt)]), chat.answer(answer)) for prompt, answer in pairs[:: args.every]]
    exact = _judged("fp32", asked)
    print(f"{len(asked)} prompts")
    print("| precision | right | other verdict than fp32 | log-probability off: median | 99% | most |")
    print("|---|---|---|---|---|---|")
    for precision, kept_as in (*((one, "auto") for one in LAYS), *product(("fp32", "bf16"), ("int8", "fp8"))):
        found = exact if (precision, kept_as) == ("fp32", "auto") else _judged(precision, asked, kept_as)
        off = sorted(abs(one - other) for (_, one), (_, other) in zip(found, exact, strict=True))
        changed = sum(one != other for (one, _), (other, _) in zip(found, exact, strict=True))
        right = sum(is_right for is_right, _ in found) / len(found)
        far = off[int(0.99 * (len(off) - 1))]
        name = precision if kept_as == "auto" else f"{precision}, keys and values {kept_as}"
        print(f"| {name} | {right:.4f} | {changed} | {statistics.median(off):.5f} | {far:.4f} | {off[-1]:.4f} |")
    return 0


def _judged(precision: str, asked: Sequence[tuple[list[int], list[int]]], kept_as: str = "auto") -> list[Judged]:
    """Whether the answer is right, and the log-probability of its first token."""
    config, dtype = read_config(MODEL), DTYPES[precision]
    weights = load_weights(MODEL, config, dtype, form_for(precision, CPU, is_gpu=False, in_loops=is_available()))
    runner = fused(config, weights, ModelRunner(config, weights), is_available())
    cache = KvCache(config, 4096, dtype, kept_as=kept_as)
    found = []
    for prompt, answer in asked:
        slot = cache.reserve(len(prompt) + len(answer), keeps_all=True)
        if slot is None:
            raise AssertionError("an empty cache has room")
        text, wanted = [*prompt, *answer], range(len(prompt) - 1, len(prompt) + len(answer) - 1)
        pieces = [range(at, min(at + PIECE, len(text))) for at in range(0, len(text), PIECE)]
        runs = [Run(slot, text[one.start : one.stop], [at - one.start for at in wanted if at in one]) for one in pieces]
        logits = torch.cat([runner.step([run]) for run in runs])
        cache.release(slot)
        found.append((logits.argmax(-1).tolist() == answer, float(logits[0].log_softmax(-1)[answer[0]])))
    return found


if __name__ == "__main__":
    sys.exit(main())
