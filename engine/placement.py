"""On which device, and in which precision, a generating model computes.

`auto` takes the GPU where torch sees one with enough free memory for the weights and the least keys and values, and
the processor else; what is demanded is had, or refused with both numbers. Experts that stay in their file and several
processes that share layers are for processors, float8 weights for a GPU.

What is here for GPUs was proven on processors, which run the same code, and has not run on a GPU yet; the log says so
whenever one is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from engine.choices import DEVICES
from engine.device import CPU, Machine, missing
from engine.errors import ModelRefused
from engine.form import GPU_DTYPES
from engine.logs import log
from engine.matrix import DTYPES
from engine.shape import ModelConfig
from engine.size import parameters, weight_bytes
from engine.stated import Raw

WORKSPACE: Final = 4 * 10**9
"""Bytes for the driver, activations and fragments; `gatehouse size` assumes the same."""
KV_SHARE: Final = 0.5
"""Of what is free after the weights, for keys and values: there may be other models."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a configuration says about it."""

    device: str
    precision: str
    only_cpu: str = ""
    """What it asks for that only processors do, if anything."""

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise ModelRefused("usage", f"device is `{self.device}`, expected one of {', '.join(DEVICES)}")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how."""

    device: torch.device
    precision: str
    is_gpu: bool = False
    """Whether what is written for GPUs computes. In tests that can be so on a processor."""

    @property
    def dtype(self) -> torch.dtype:
        """What the layers compute in."""
        return GPU_DTYPES[self.precision]

    def kv_bytes(self, asked: int, machine: Machine) -> int:
        """What was asked for or, on a GPU, a share of what is free. Zero: as processors have it."""
        if asked or not self.is_gpu:
            return asked
        return max(0, int((machine.free_bytes() - WORKSPACE) * KV_SHARE))


def placed(asked: Asked, config: ModelConfig, raw: Raw, machine: Machine) -> Placement:
    """ModelRefused when the device that was demanded is missing, too small, or nothing for what else was asked."""
    gpu = None if asked.device == "cpu" else machine.gpu()
    if gpu is None and asked.device != "cuda":
        return _on_cpu(asked.precision)
    if gpu is None:
        raise missing()
    precision = "bf16" if asked.precision == "auto" else asked.precision
    needed = sum(weight_bytes(parameters(config, raw), precision).values()) + WORKSPACE
    if (why := _refusal(asked, needed, machine.free_bytes())) is None:
        log.warning("not_run_on_a_gpu_yet", device=gpu.type)
        return Placement(gpu, precision, is_gpu=True)
    if asked.device == "cuda":
        raise why
    log.info("gpu_not_taken", why=why.code)
    return _on_cpu(asked.precision)


def _on_cpu(precision: str) -> Placement:
    if precision not in ("auto", *DTYPES):
        told = f"weights in `{precision}` are for a GPU, and this model computes on a processor"
        raise ModelRefused("precision_unsupported", told)
    return Placement(CPU, "fp32" if precision == "auto" else precision)


def _refusal(asked: Asked, needed: float, free: float) -> ModelRefused | None:
    """Why not on the GPU."""
    if asked.only_cpu:
        return ModelRefused("device_unsupported", f"{asked.only_cpu}: that is for processors, and `device` is `cuda`")
    if free >= needed:
        return None
    told = f"the model needs {needed / 1e9:.1f} GB of the GPU's memory, {free / 1e9:.1f} GB are free"
    return ModelRefused("device_full", told)
