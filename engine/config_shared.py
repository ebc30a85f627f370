"""What the dialects of config.json have in common: how it is read, rotary positions, ways to store weights, values that
must be neutral."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from engine.errors import ModelRefused
from engine.shape import RopeScaling

Raw: TypeAlias = Mapping[str, Any]
METHODS: Final = ("fbgemm_fp8", "fp8", "compressed-tensors")
"""Of storing weights in fewer bits, whose tensors engine/stored.py reads."""
FORMATS: Final = ("dense", "float-quantized", "int-quantized", "naive-quantized", "pack-quantized", "mixed-precision")
"""Of compressed-tensors."""


def read_object(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object. ModelRefused with code `config_invalid` if it does not."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise ModelRefused("config_invalid", f"`{path}` cannot be read as JSON") from exc
    if not isinstance(raw, dict):
        raise ModelRefused("config_invalid", f"`{path}` is not a JSON object")
    return raw


def read_rope(raw: Raw, default_theta: float) -> tuple[float, RopeScaling | None]:
    """transformers 5 writes `rope_parameters`; older checkpoints have `rope_theta` beside `rope_scaling`."""
    found = dict(raw.get("rope_parameters") or raw.get("rope_scaling") or {})
    for source in (raw, found):
        refuse_unless_neutral(source, {"partial_rotary_factor": 1.0})
    theta = float(found.get("rope_theta") or raw.get("rope_theta") or default_theta)
    kind = found.get("rope_type", found.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise ModelRefused("model_unsupported", f"`rope_type` is `{kind}`, this version computes default and llama3")
    original = found.get("original_max_position_embeddings") or raw["max_position_embeddings"]
    low, high = float(found["low_freq_factor"]), float(found["high_freq_factor"])
    return theta, RopeScaling(float(found["factor"]), low, high, int(original))


def refuse_unless_neutral(raw: Raw, neutral: Mapping[str, object]) -> None:
    """ModelRefused for the first key whose value would change the mathematics in a way that is not computed."""
    for key, expected in neutral.items():
        found = raw.get(key)
        if found is not None and found != expected:
            told = f"`{key}` is not `{expected}`, which this version does not compute"
            raise ModelRefused("model_unsupported", told)


def check_method(raw: Raw) -> None:
    """ModelRefused `model_unsupported` for a `quantization_config` whose tensors would not be understood."""
    found = raw.get("quantization_config")
    if found is None:
        return
    method = found.get("quant_method") if isinstance(found, Mapping) else None
    if method not in METHODS:
        raise _unsupported("quant_method", method, METHODS)
    forms = [found.get("format"), *(group.get("format") for group in (found.get("config_groups") or {}).values())]
    for form in forms:
        if form is not None and form not in FORMATS:
            raise _unsupported("format", form, FORMATS)


def _unsupported(key: str, found: object, known: tuple[str, ...]) -> ModelRefused:
    told = f"`{key}` of `quantization_config` is `{found}`, this version reads {', '.join(known)}"
    return ModelRefused("model_unsupported", told)
