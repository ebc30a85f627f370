"""What the dialects of config.json have in common: how it is read, rotary positions, ways to store weights, values that
must be neutral."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.errors import ModelRefused
from engine.shape import RopeScaling
from engine.stated import Raw, Stated

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


def read_rope(stated: Stated, default_theta: float) -> tuple[float, RopeScaling | None]:
    """transformers 5 writes `rope_parameters`; older checkpoints have `rope_theta` beside `rope_scaling`."""
    found = stated.part("rope_parameters" if stated.raw.get("rope_parameters") else "rope_scaling")
    for source in (stated, found):
        refuse_unless_neutral(source.raw, {"partial_rotary_factor": 1.0})
    theta = found.number("rope_theta", stated.number("rope_theta", default_theta, 0, is_above=True), 0, is_above=True)
    kind = found.raw.get("rope_type", found.raw.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise ModelRefused("model_unsupported", f"`rope_type` is `{kind}`, this version computes default and llama3")
    return theta, _stretched(stated, found)


def _stretched(stated: Stated, found: Stated) -> RopeScaling:
    original = found.raw.get("original_max_position_embeddings")
    low = found.number("low_freq_factor", low=0, is_above=True)
    return RopeScaling(
        found.number("factor", low=0, is_above=True),
        low,
        found.number("high_freq_factor", low=low, is_above=True),
        stated.whole("max_position_embeddings")
        if original is None
        else found.whole("original_max_position_embeddings"),
    )


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
    groups = Stated(found, "quantization_config").part("config_groups")
    forms = [found.get("format"), *(groups.part(name).raw.get("format") for name in groups.raw)]
    for form in forms:
        if form is not None and form not in FORMATS:
            raise _unsupported("format", form, FORMATS)


def _unsupported(key: str, found: object, known: tuple[str, ...]) -> ModelRefused:
    told = f"`{key}` of `quantization_config` is `{found}`, this version reads {', '.join(known)}"
    return ModelRefused("model_unsupported", told)
