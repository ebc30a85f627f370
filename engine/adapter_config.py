"""adapter_config.json of PEFT as the numbers a low-rank adapter depends on, or a refusal that names the key.

Only plain LoRA is computed: two small matrices beside a projection, and one factor. Every variant that needs more
(DoRA, biases, whole modules saved beside, initialisations that change the base model) is refused by its key, and so
is a key that nobody here has heard of, unless it is switched off: without it the answers would be plausible and
wrong. Patterns of names are matched as names: the file's author gives us no regular expressions to run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from engine.config_shared import read_object
from engine.errors import ModelRefused
from engine.stated import wrong

Raw: TypeAlias = Mapping[str, Any]
NAME = "adapter_config.json"
MAX_RANK = 256
KNOWN = {
    *("peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "target_modules"),
    *("exclude_modules", "layers_to_transform", "layers_pattern", "bias", "fan_in_fan_out", "init_lora_weights"),
}
LABELS = {
    *("auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode", "peft_version"),
    *("lora_dropout", "megatron_core", "megatron_config", "qalora_group_size", "loftq_config", "eva_config"),
    *("runtime_config", "ensure_weight_tying"),
}
"""What matters while training, or to other parts of PEFT."""
SOUND_BEGINNINGS = (True, False, "gaussian", "orthogonal", "eva")
"""Initialisations that leave the base model as it is. Others belong to a base that was changed by them."""
_OFF = (None, False, "", "none")
_PATTERN = re.compile(r"\^?[A-Za-z0-9_.]{1,200}")


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """What the tensors do not say themselves."""

    rank: int
    alpha: float
    is_rank_stabilised: bool
    ranks: tuple[tuple[str, int], ...]
    """Other ranks, by the end of a module's name; the first that fits counts."""
    alphas: tuple[tuple[str, float], ...]
    targets: tuple[str, ...]
    """Last parts of the names of modules that all have tensors. Empty: not known."""

    def rank_of(self, module: str) -> int:
        return next((rank for pattern, rank in self.ranks if _fits(pattern, module)), self.rank)

    def factor(self, module: str) -> float:
        """What the product of both matrices is multiplied by."""
        alpha = next((alpha for pattern, alpha in self.alphas if _fits(pattern, module)), self.alpha)
        rank = self.rank_of(module)
        return alpha / rank**0.5 if self.is_rank_stabilised else alpha / rank


def read_adapter_config(directory: Path) -> AdapterConfig:
    """ModelRefused with code `config_invalid`, `adapter_unsupported` or `adapter_too_large`."""
    return parse_adapter_config(read_object(directory / NAME))


def parse_adapter_config(raw: Raw) -> AdapterConfig:
    if raw.get("peft_type") != "LORA":
        raise _unsupported("peft_type", raw.get("peft_type"), "LORA")
    for key in sorted(set(raw) - KNOWN - LABELS):
        if raw[key] not in (*_OFF, [], {}):
            raise _unsupported(key, "set", "nothing")
    if raw.get("bias") not in _OFF:
        raise _unsupported("bias", raw["bias"], "none")
    if raw.get("fan_in_fan_out") not in _OFF:
        raise _unsupported("fan_in_fan_out", raw["fan_in_fan_out"], "false")
    if raw.get("init_lora_weights", True) not in SOUND_BEGINNINGS:
        raise _unsupported("init_lora_weights", raw["init_lora_weights"], "one that leaves the base model as it is")
    ranks, alphas = _patterns(raw, "rank_pattern"), _patterns(raw, "alpha_pattern")
    return AdapterConfig(
        rank=_rank("r", raw.get("r")),
        alpha=_number("lora_alpha", raw.get("lora_alpha", 8)),
        is_rank_stabilised=raw.get("use_rslora") is True,
        ranks=tuple((pattern, _rank("rank_pattern", rank)) for pattern, rank in ranks),
        alphas=tuple((pattern, _number("alpha_pattern", alpha)) for pattern, alpha in alphas),
        targets=_targets(raw),
    )


def _targets(raw: Raw) -> tuple[str, ...]:
    """A pattern, a choice of layers or an exception says less than the tensors do."""
    stated = raw.get("target_modules")
    if not isinstance(stated, list) or any(raw.get(key) for key in ("exclude_modules", "layers_to_transform")):
        return ()
    if not all(isinstance(one, str) for one in stated):
        raise wrong("target_modules", "not a list of names", "a list of names")
    return tuple(sorted(stated))


def _patterns(raw: Raw, key: str) -> list[tuple[str, Any]]:
    stated = raw.get(key) or {}
    if not isinstance(stated, dict):
        raise wrong(key, type(stated).__name__, "an object")
    for pattern in stated:
        if not _PATTERN.fullmatch(pattern):
            raise _unsupported(key, "keyed by a regular expression", "names of modules")
    return list(stated.items())


def _fits(pattern: str, module: str) -> bool:
    if pattern.startswith("^"):
        return module == pattern[1:]
    return module == pattern or module.endswith("." + pattern)


def _rank(key: str, found: object) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise wrong(key, found, "a positive integer")
    if found > MAX_RANK:
        raise ModelRefused("adapter_too_large", f"`{key}` is {found}, expected at most {MAX_RANK}")
    return found


def _number(key: str, found: object) -> float:
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 < found < 1e6:
        raise wrong(key, found, "a positive number")
    return float(found)


def _unsupported(key: str, found: object, expected: str) -> ModelRefused:
    return ModelRefused("adapter_unsupported", f"`{key}` is {found}, this version computes `{expected}`")
