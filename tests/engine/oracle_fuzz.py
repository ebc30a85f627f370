"""Models of random shapes, computed by us and by transformers: run by hand, because hundreds take minutes.

`python -m tests.engine.oracle_fuzz --seeds 300` draws a configuration from each seed (odd numbers of heads, chunks
that end inside blocks, NoPE layers anywhere, tied heads, stretched positions, experts in some layers), writes its
checkpoint, and compares what a lane of little room answers with transformers' full passes: packed, in pieces, over
shared beginnings, after yielding and after passes that memory did not hold. test_oracle_fuzz.py takes a few seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence as ListOf
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.chain import chained
from engine.config import read_config
from engine.events import Drawn, Finished, GenerateRequest, Grown, Sampling
from engine.fused.choose import fused, is_available
from engine.kv_cache import KvCache
from engine.kv_layout import BLOCK
from engine.runner import ModelRunner, Run, Runner
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from engine.weights import load_weights
from tests.engine import tiny
from tests.engine.model_cases import LLAMA3_ROPE
from tests.engine.stand_ins import Heard, LetterTokenizer, Starved

FAMILIES = ("llama4", "llama4", "llama4", "Llama", "Llama", "Mistral", "Qwen3", "Granite")
LONGEST = 120
CLOSE = 2e-4
"""How far a logit may be off, for logits of up to one; larger ones by as much more."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What one seed came to: the largest differences, in shares of CLOSE."""

    full: float
    """Of a whole text in one pass, and of the same fed in pieces."""
    answered: float
    """Of what a lane told about the tokens it drew."""
    tokens: int
    yields: int
    reused: int


def main(argv: ListOf[str] | None = None) -> int:
    """Exit status 0 when every seed agrees, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.engine.oracle_fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    wrong, all_found = [], []
    for seed in range(args.first, args.first + args.seeds):
        with tempfile.TemporaryDirectory(prefix="gatehouse-fuzz-") as directory:
            try:
                all_found.append(compared(seed, Path(directory)))
            except AssertionError as exc:
                wrong.append(seed)
                print(f"seed {seed}: {exc}", file=sys.stderr, flush=True)
    most = {name: max((getattr(one, name) for one in all_found), default=0.0) for name in ("full", "answered")}
    sums = {name: sum(getattr(one, name) for one in all_found) for name in ("tokens", "yields", "reused")}
    print(json.dumps({"seeds": args.seeds, "wrong": wrong, "most": most} | sums))
    return 1 if wrong else 0


def compared(seed: int, directory: Path) -> Compared:
    """AssertionError with the configuration where we differ from transformers, or something is left behind."""
    draw = random.Random(seed)
    family = draw.choice(FAMILIES)
    changes = llama4_shape(draw) if family == "llama4" else dense_shape(draw, family)
    try:
        return _compared(seed, draw, directory, family, changes)
    except AssertionError as exc:
        raise AssertionError(f"{exc} · {family} {changes}") from exc


def _compared(seed: int, draw: random.Random, directory: Path, family: str, changes: dict[str, Any]) -> Compared:
    if family == "llama4":
        oracle = tiny.oracle(tiny.llama4(directory, seed, **changes))
    else:
        oracle = tiny.dense(directory, family, seed, **changes)
    config = read_config(directory)
    weights = load_weights(directory, config)
    in_loops = is_available() and draw.random() < 0.7
    runner = fused(config, weights, ModelRunner(config, weights), in_loops)

    def theirs(ids: ListOf[int]) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = oracle(torch.tensor([list(ids)]), use_cache=False).logits[0]
        return logits

    text = _ids(draw, LONGEST)
    expected = theirs(text)
    cache = KvCache(config, LONGEST + BLOCK)
    full = max(_off(_fed(draw, runner, cache, text, pieces), expected) for pieces in (False, True))
    assert full < 1, f"full passes are {full:.2f} off"
    return Compared(full, *_lane(draw, config, runner, theirs))


def _fed(draw: random.Random, runner: Runner, cache: KvCache, text: ListOf[int], in_pieces: bool) -> Tensor:
    slot = cache.reserve(len(text), keeps_all=True)
    assert slot is not None
    rows, at = [], 0
    while at < len(text):
        part = text[at : at + (draw.choice((1, 1, 2, 5, 17, 40)) if in_pieces else len(text))]
        rows.append(runner.step([Run(slot, part, range(len(part)))]))
        at += len(part)
    cache.release(slot)
    return torch.cat(rows)


def _lane(draw: random.Random, config: Any, runner: Runner, theirs: Any) -> tuple[float, int, int, int]:
    """Requests that come while others run, on a machine with little of everything."""
    layout = KvCache(config, 1024).layout
    capacity = max(5, -(-layout.needed(LONGEST) // layout.units) + draw.randrange(3)) * BLOCK
    cache = KvCache(config, capacity)
    holds = draw.choice((12, 40, 1000))
    lane = GenerateLane(
        Starved(runner, holds), cache, LONGEST, max_running=draw.randrange(1, 7), step_tokens=draw.randrange(6, 50)
    )
    roots = [_ids(draw, 80) for _ in range(2)]
    asked: list[tuple[GenerateRequest, Heard, Sequence]] = []
    for now in range(14):
        for _ in range(draw.choice((0, 0, 1, 2))):
            request = _request(draw, roots)
            heard = Heard()
            sequence = Sequence(request, LetterTokenizer(), frozenset(), heard)
            lane.add(chained([sequence]))
            asked.append((request, heard, sequence))
        if asked and draw.random() < 0.08:
            draw.choice(asked)[2].cancelled = True
        _step(lane, now)
    while _step(lane, 15):
        pass
    left = lane.pending, lane.reserved, cache.held
    assert left == (0, 0, 0), f"left behind: {left}"
    worst = 0.0
    tokens = 0
    for request, heard, sequence in asked:
        if sequence.cancelled and not isinstance(heard.events[-1] if heard.events else None, Finished):
            continue
        end = heard.events[-1] if heard.events else None
        if not isinstance(end, Finished):
            assert getattr(end, "code", None) == "out_of_memory", f"ended with {end}"
            assert holds < 1000, "out of memory with room"
            continue
        drawn = [one for event in heard.events if isinstance(event, Grown) for one in event.tokens]
        worst = max(worst, _told_off(request, drawn, theirs))
        tokens += len(drawn)
    assert worst < 1, f"answers are {worst:.2f} off"
    return worst, tokens, lane.counters.preempted, lane.counters.reused_tokens


def _step(lane: GenerateLane, now: float) -> bool:
    if (work := lane.next(now)) is None:
        return False
    with torch.inference_mode():
        work.run()
    return True


def _told_off(request: GenerateRequest, drawn: ListOf[Drawn], theirs: Any) -> float:
    """How far log-probabilities are off those of one full pass over prompt and answer."""
    answer = [one.token for one in drawn][len(request.prompt) if request.scores_prompt else 0 :]
    logits = theirs([*request.prompt, *answer])
    rows = logits.log_softmax(-1)
    begin = 1 if request.scores_prompt else len(request.prompt)
    ids = [*request.prompt, *answer]
    told = [one for one in drawn if one.logprob is not None]
    assert len(told) == len(ids) - begin, "a token is missing"
    expected = torch.tensor([rows[at - 1, ids[at]] for at in range(begin, len(ids))])
    return _off(torch.tensor([one.logprob for one in told]), expected, float(logits.abs().max()))


def _request(draw: random.Random, roots: list[list[int]]) -> GenerateRequest:
    root = draw.choice(roots)
    prompt = (*root[: draw.randrange(1, len(root))], *_ids(draw, draw.randrange(0, 9)))
    sampling = Sampling(temperature=draw.choice((0.0, 1.0)), seed=draw.randrange(99), logprobs=0)
    echo = "" if draw.random() < 0.15 else None
    return GenerateRequest(
        prompt,
        draw.randrange(1, 30),
        1e9,
        sampling,
        echo=echo,
        ignores_end=True,
        priority=draw.randrange(2),
        salt=draw.choice(("", "", "other")),
    )


def _off(found: Tensor, expected: Tensor, scale: float | None = None) -> float:
    most = max(1.0, scale if scale is not None else float(expected.abs().max()))
    return float((found - expected).abs().max()) / (CLOSE * most)


def _ids(draw: random.Random, length: int) -> list[int]:
    return [draw.randrange(9, 300) for _ in range(length)]


def _heads(draw: random.Random) -> dict[str, int]:
    kv_heads = draw.randrange(1, 4)
    return {
        "num_key_value_heads": kv_heads,
        "num_attention_heads": kv_heads * draw.randrange(1, 6),
        "head_dim": draw.choice((4, 6, 8, 10, 16, 20)),
        "hidden_size": draw.choice((20, 24, 30, 32, 33, 48)),
        "num_hidden_layers": draw.randrange(1, 7),
        "vocab_size": draw.choice((320, 321, 333)),
        "max_position_embeddings": draw.choice((LONGEST, 128, 500)),
        "rms_norm_eps": draw.choice((1e-5, 1e-6, 1e-3)),
    }


def _rope(draw: random.Random) -> dict[str, Any]:
    theta = draw.choice((1000.0, 10_000.0, 500_000.0))
    if draw.random() < 0.5:
        return {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}
    changed = {"rope_theta": theta, "factor": draw.choice((2.0, 8.0, 16.0))}
    low = draw.choice((1.0, 1.5))
    original = draw.choice((16, 64))
    changed |= {"low_freq_factor": low, "high_freq_factor": low * draw.choice((2.0, 4.0))}
    return {"rope_parameters": {**LLAMA3_ROPE, **changed, "original_max_position_embeddings": original}}


def dense_shape(draw: random.Random, family: str) -> dict[str, Any]:
    """A configuration of that family."""
    shape: dict[str, Any] = _heads(draw) | _rope(draw)
    shape |= {"intermediate_size": draw.choice((31, 48, 64)), "tie_word_embeddings": draw.random() < 0.4}
    if family == "Mistral":
        shape["sliding_window"] = draw.choice((None, 500))
    # These two demand it of themselves, whatever the dimension of a head is.
    if family in ("Llama", "Granite"):
        shape["hidden_size"] = shape["num_attention_heads"] * draw.choice((4, 6, 10))
    if family == "Granite":
        shape["head_dim"] = shape["hidden_size"] // shape["num_attention_heads"]
        shape |= {"embedding_multiplier": draw.uniform(0.5, 4), "residual_multiplier": draw.uniform(0.2, 1)}
        shape |= {"attention_multiplier": draw.uniform(0.05, 0.5), "logits_scaling": draw.uniform(1, 8)}
    return shape


def llama4_shape(draw: random.Random) -> dict[str, Any]:
    """A configuration of Llama 4's text part."""
    shape: dict[str, Any] = _heads(draw) | _rope(draw)
    layers, experts = shape["num_hidden_layers"], draw.randrange(1, 9)
    shape |= {
        "intermediate_size": draw.choice((17, 32, 48)),
        "intermediate_size_mlp": draw.choice((31, 64)),
        "num_local_experts": experts,
        "num_experts_per_tok": draw.randrange(1, min(3, experts) + 1),
        "interleave_moe_layer_step": draw.randrange(1, 4),
        "attention_chunk_size": draw.choice((3, 8, 10, 16, 24, 32, 37, 48, 100)),
        "use_qk_norm": draw.random() < 0.6,
        "attn_temperature_tuning": draw.random() < 0.7,
        "floor_scale": draw.choice((2, 8, 50)),
        "attn_scale": draw.choice((0.05, 0.1, 0.5)),
        "tie_word_embeddings": draw.random() < 0.3,
    }
    if draw.random() < 0.5:
        shape["no_rope_layers"] = [draw.randrange(2) for _ in range(layers)]
    else:
        shape["no_rope_layer_interval"] = draw.randrange(1, 6)
    if draw.random() < 0.3:
        kinds = ("chunked_attention", "full_attention")
        shape["layer_types"] = [draw.choice(kinds) for _ in range(layers)]
    if draw.random() < 0.2:
        shape["moe_layers"] = sorted(draw.sample(range(layers), draw.randrange(0, layers + 1)))
    return shape


if __name__ == "__main__":
    sys.exit(main())
