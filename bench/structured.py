"""What holding an answer to a JSON Schema costs: a mask for each token, beside a step without one.

In process, one thread. Steps: the starter engine answers the same prompt free and held, alone and eight at a time;
rounds take turns. Masks: answers are drawn from noise for a vocabulary of Llama 4's size (202,048 made-up pieces), so
only the grammar and the draw are in the time.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from engine.constraint import Constraint, Constraints
from engine.events import Event, Finished, GenerateRequest, Sampling
from engine.generator import Generator, Options, load_generator
from engine.grammar import of_schema
from engine.sampler import Sampler
from engine.tokens import TextTokenizer

STARTER = Path(__file__).parents[1] / "engine" / "starter" / "model"
VOCABULARY = 202_048
STEPS, ANSWERS = 64, 30
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "mail": {"type": "string", "pattern": "^[a-z0-9.]{1,20}@[a-z0-9.]{1,20}$"},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
        "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
    },
    "required": ["name", "age", "mail", "tags", "note"],
    "additionalProperties": False,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.structured", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    model = load_generator(STARTER, Options(kv_bytes=200_000_000))
    for together in (1, 8):
        _report_steps(model, together, args.rounds)
    _report_masks()
    return 0


def _report_steps(model: Generator, together: int, rounds: int) -> None:
    held = model.constraints.compiled(of_schema({"type": "array", "items": SCHEMA, "minItems": STEPS}, "schema"))
    pairs = [(_step_ms(model, together, None), _step_ms(model, together, held)) for _ in range(rounds + 1)][1:]
    free, constrained = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(mine / other for other, mine in pairs)
    print(f"{together} together: step {free:.2f} ms free, {constrained:.2f} ms held, ratio {ratio:.2f}")


def _step_ms(model: Generator, together: int, constraint: Constraint | None) -> float:
    """Time of a decoding step: some answers of as many tokens, prompts not counted."""
    heard: list[Event] = []
    for seed in range(together):
        sampling = Sampling(temperature=1.0, seed=seed)
        request = GenerateRequest(
            model.chat.plain("hello there"), STEPS, time.monotonic() + 600, sampling,
            ignores_end=True, constraint=constraint,
        )  # fmt: skip
        model.lane.add([model.sequence(request, heard.append)])
    begun = steps = 0.0
    while (work := model.lane.next(time.monotonic())) is not None:
        work.run()
        steps += 1
        if steps == 1:
            begun = time.perf_counter()
    assert sum(isinstance(event, Finished) for event in heard) == together
    return (time.perf_counter() - begun) * 1000 / (steps - 1)


def _report_masks() -> None:
    with tempfile.TemporaryDirectory() as directory:
        tokenizer = _large(Path(directory) / "tokenizer.json")
    begun = time.perf_counter()
    constraints = Constraints(tokenizer, VOCABULARY, frozenset({1}))
    first = (time.perf_counter() - begun) * 1000
    grammar = of_schema(SCHEMA, "schema")
    compiled_ms = _ms(lambda: constraints.compiled(grammar))
    constraint = constraints.compiled(grammar)
    masks: list[float] = []
    draws: list[float] = []
    for seed in range(ANSWERS):
        _draw(constraint, seed, masks, draws)
    cuts = quantiles(masks, n=100)
    print(f"vocabulary {VOCABULARY}: read once in {first:.0f} ms; schema compiled in {compiled_ms:.1f} ms")
    print(f"{len(masks)} masks: median {median(masks):.3f}, 95 % {cuts[94]:.3f}, 99 % {cuts[98]:.3f} ms")
    print(f"drawing from {VOCABULARY} scores: median {median(draws):.2f} ms")


def _draw(constraint: Constraint, seed: int, masks: list[float], draws: list[float]) -> None:
    """An answer from noise; its first part only if it does not come to an end."""
    follower, sampler = constraint.begin(), Sampler(Sampling(seed=seed))
    noise = torch.Generator().manual_seed(seed)
    for _ in range(120):
        begun = time.perf_counter()
        allowed_v = follower.allowed(may_end=True)
        masked = time.perf_counter()
        if allowed_v is None:
            return
        drawn = sampler.draw(torch.randn(VOCABULARY, generator=noise), (), allowed_v)
        done = time.perf_counter()
        follower.took(drawn.token)
        masks.append((masked - begun + time.perf_counter() - done) * 1000)
        draws.append((done - masked) * 1000)
        if follower.is_complete:
            return


def _ms(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1000


def _large(path: Path) -> TextTokenizer:
    """Made-up words of two to twelve letters, half with a space before them, and the bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|begin|>": 0, "<|end|>": 1} | {letter: at + 2 for at, letter in enumerate(letters)}
    merges: list[tuple[str, str]] = []
    draw = random.Random(1)
    while len(vocabulary) < VOCABULARY:
        word = draw.choice(["", "Ġ"]) + "".join(draw.choice("eeettaaooinnshrdlucmfwypvbgk") for _ in range(12))
        for end in range(2, draw.randint(3, 12)):
            if word[:end] not in vocabulary and len(vocabulary) < VOCABULARY:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    tokenizer.save(str(path))
    return TextTokenizer.from_file(path)


if __name__ == "__main__":
    raise SystemExit(main())
