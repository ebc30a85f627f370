"""`python -m engine.size_command`: what of a model fits into a memory, with which context, and why.

`gatehouse size` runs it. Reads at most one config.json, loads nothing, and needs neither torch nor a GPU. What the
model host itself cannot do with a plan is said beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine.config import parse_config
from engine.errors import ModelRefused
from engine.published import PUBLISHED
from engine.shape import ModelConfig
from engine.size import KV_BYTES, PRECISIONS, Plan, active, kv_of, parameters, weight_bytes, wide_head_bytes
from engine.vision.canvas import grid_for

FITS, DOES_NOT_FIT, UNREADABLE = 0, 1, 2
MIB, GB = 1024**2, 1e9
CARDS: Final = {"h100": 81_559 * MIB, "h200": 143_771 * MIB}
"""What the driver of an "80 GB" and a "141 GB" card shows."""
LENGTHS: Final = (8192, 131_072, 1_048_576, 10_485_760)
PICTURES: Final = ((336, 336), (640, 480), (1280, 720), (1920, 1080), (1344, 1344))
"""The last is the most that one can take."""
LOCAL: Final = ("fp32", "bf16", "fp8", "int8", "int4")
"""Precisions in which the model host runs generating models."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 it fits, 1 it does not, 2 the model or an argument cannot be read."""
    args = make_parser().parse_args(argv)
    try:
        raw = _raw(args.model)
        config = parse_config(raw)
        counted = parameters(config, raw)
    except (ModelRefused, KeyError, TypeError, ValueError) as exc:
        told = exc.problem if isinstance(exc, ModelRefused) else f"config.json has a missing or mistyped value: {exc}"
        print(f"gatehouse size: {told}", file=sys.stderr)
        return UNREADABLE
    chosen = (args.precision,) if args.precision else PRECISIONS
    kv = kv_of(config, args.kv)
    plans = [Plan(one, weight_bytes(counted, one), kv, args.gpu, args.workspace * GB) for one in chosen]
    context = args.context or min(LENGTHS[0], config.max_positions)
    if args.json:
        print(json.dumps(_as_json(args, config, counted, plans, context)))
    else:
        print("\n".join(_as_text(args, config, counted, plans, context)))
    return FITS if any(plan.fits(context, args.sequences) for plan in plans) else DOES_NOT_FIT


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.size_command", description=__doc__.split("\n", 1)[0])
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="NAME|PATH")
    parser.add_argument("--gpu", required=True, type=_card, metavar="h100|h200|GB")
    parser.add_argument("--precision", choices=PRECISIONS)
    parser.add_argument("--kv", choices=tuple(KV_BYTES), default="bf16")
    parser.add_argument("--context", type=_positive, metavar="N")
    parser.add_argument("--sequences", type=_positive, default=1, metavar="N")
    parser.add_argument("--workspace", type=float, default=4.0, metavar="GB")
    parser.add_argument("--json", action="store_true")


def _card(text: str) -> float:
    if text in CARDS:
        return CARDS[text]
    value = float(text) * GB
    if not 0 < value < 1e15:
        raise ValueError(text)
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _raw(model: str) -> Mapping[str, Any]:
    if model in PUBLISHED:
        return PUBLISHED[model]
    path = Path(model) / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        told = f"`{model}` is neither {', '.join(PUBLISHED)} nor a directory with a config.json that can be read"
        raise ModelRefused("config_invalid", told) from exc
    if not isinstance(raw, dict):
        raise ModelRefused("config_invalid", f"`{path}` is not a JSON object")
    return raw


def _as_json(
    args: argparse.Namespace, config: ModelConfig, counted: Mapping[str, int], plans: Sequence[Plan], context: int
) -> dict[str, Any]:
    return {
        "model": args.model,
        "parameters": counted,
        "active": active(config, counted),
        "max_positions": config.max_positions,
        "card_bytes": int(args.gpu),
        "workspace_bytes": int(args.workspace * GB),
        "wide_head_bytes": wide_head_bytes(config),
        "kv": {"kept_as": args.kv, "full_bytes": plans[0].kv.full_bytes, "chunked_bytes": plans[0].kv.chunked_bytes}
        | {"chunk": plans[0].kv.chunk},
        "images": _images(config),
        "context": context,
        "sequences": args.sequences,
        "plans": [_plan_as_json(config, plan, context, args.sequences) for plan in plans],
    }


def _plan_as_json(config: ModelConfig, plan: Plan, context: int, sequences: int) -> dict[str, Any]:
    told: dict[str, Any] = {"precision": plan.precision, "weights": {k: int(v) for k, v in plan.weights.items()}}
    told |= {"weight_bytes": int(plan.total_weights), "room_bytes": int(plan.room)}
    told |= {"fits": plan.fits(context, sequences), "runs_on_model_host": plan.precision in LOCAL}
    for name, hybrid in (("all_layers", False), ("hybrid", True)):
        told[name] = {
            "bytes": sequences * plan.kv.bytes_for(context, hybrid),
            "sequences": plan.sequences(context, hybrid),
            "longest": _longest(config, plan, sequences, hybrid),
        }
    return told


def _images(config: ModelConfig) -> dict[str, int]:
    """Tokens of a picture, by its size in pixels; none for a model that reads only."""
    if (vision := config.vision) is None:
        return {}
    return {f"{w}x{h}": grid_for(w, h, vision.side).tokens(vision.tokens) for w, h in PICTURES}


def _longest(config: ModelConfig, plan: Plan, sequences: int, hybrid: bool) -> int:
    return min(config.max_positions, plan.kv.most_positions(plan.room / sequences, hybrid))


def _as_text(
    args: argparse.Namespace, config: ModelConfig, counted: Mapping[str, int], plans: Sequence[Plan], context: int
) -> Iterator[str]:
    total, used = sum(counted.values()) / 1e9, active(config, counted) / 1e9
    yield f"{args.model}: {total:.2f} B parameters, {used:.2f} B of them for each token"
    yield f"memory {args.gpu / GB:.1f} GB, {args.workspace:.1f} GB of it kept for driver, activations and fragments"
    yield ""
    if len(plans) == 1:
        yield from _kinds(plans[0], counted)
    else:
        yield f"{'precision':<14}{'weights GB':>11}{'left GB':>9}{'sequences':>11}{'longest':>11}"
        for plan in plans:
            fit = plan.sequences(context, hybrid=True)
            longest = _longest(config, plan, args.sequences, hybrid=True)
            yield f"{plan.precision:<14}{plan.total_weights / GB:>11.1f}{plan.room / GB:>9.1f}{fit:>11,}{longest:>11,}"
        yield f"sequences: of {context:,} positions; longest: positions of each of {args.sequences}"
    yield ""
    yield from _keys_and_values(plans[0], args.kv)
    if pictures := _images(config):
        yield "tokens of a picture: " + ", ".join(f"{size} {tokens:,}" for size, tokens in pictures.items())
    if len(plans) == 1:
        yield ""
        yield from _verdict(config, plans[0], context, args.sequences)
    yield ""
    yield f"the model host of this version runs {', '.join(LOCAL)} on one GPU (it has not been run on a"
    yield "GPU yet) and all but fp8 on processors, with keys and values in fp32, bf16, int8 or fp8, and keeps one"
    yield "chunk in chunked layers (hybrid); other plans are for a server that `engine: url:` names. On a processor"
    yield f"without `gatehouse[fast]` all but fp32 takes {wide_head_bytes(config) / GB:.1f} GB more for the head"


def _kinds(plan: Plan, counted: Mapping[str, int]) -> Iterator[str]:
    yield f"{'weights, ' + plan.precision:<24}{plan.total_weights / GB:>9.1f} GB"
    for kind, size in plan.weights.items():
        each = f"{counted[kind] / 1e9:.2f} B, {size / counted[kind]:.3g} bytes each"
        yield f"  {kind:<22}{size / GB:>9.1f} GB  {size / plan.total_weights:>6.1%}  {each}"
    yield f"{'left for keys, values':<24}{plan.room / GB:>9.1f} GB"


def _keys_and_values(plan: Plan, kept_as: str) -> Iterator[str]:
    kv = plan.kv
    each = (kv.full_bytes + kv.chunked_bytes) / 1024
    yield f"keys and values in {kept_as}: {each:.0f} KiB a position" + (
        f", {kv.full_bytes / 1024:.0f} KiB past {kv.chunk:,} where chunked layers keep one chunk (hybrid)"
        if kv.chunk
        else ""
    )
    yield f"{'positions':<14}{'all layers GB':>14}{'hybrid GB':>11}"
    for one in LENGTHS:
        yield f"{one:<14,}{kv.bytes_for(one, False) / GB:>14.1f}{kv.bytes_for(one, True) / GB:>11.1f}"


def _verdict(config: ModelConfig, plan: Plan, context: int, sequences: int) -> Iterator[str]:
    if plan.room <= 0:
        yield f"does not fit: the weights alone need {-plan.room / GB:.1f} GB more"
        return
    for name, hybrid in (("hybrid", True), ("all layers", False)):
        need = sequences * plan.kv.bytes_for(context, hybrid) / GB
        told = f"{sequences} of {context:,} positions need {need:.1f} GB"
        fit = f"{plan.sequences(context, hybrid):,} fit"
        longest = _longest(config, plan, sequences, hybrid)
        yield f"{name + ':':<12}{told}, {fit}; the longest of {sequences}: {longest:,}"


if __name__ == "__main__":
    sys.exit(main())
