"""Devices that a generating model may compute on, and how numbers get there: the processor, or one CUDA device."""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor

from engine.errors import ModelRefused

CPU: Final = torch.device("cpu")


def missing() -> ModelRefused:
    """The refusal of a GPU that was demanded and is not there."""
    return ModelRefused("device_missing", "`device` is `cuda`, and torch sees no CUDA device here")


class Machine(Protocol):
    """What there is."""

    def gpu(self) -> torch.device | None:
        """The one that a model may have; None: there is none."""

    def free_bytes(self) -> int:
        """Of its memory, now."""


class ThisMachine:
    """As torch sees it."""

    def gpu(self) -> torch.device | None:
        if not torch.cuda.is_available():
            return None
        attends_without_plans()
        return torch.device("cuda")

    def free_bytes(self) -> int:
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info()
        return int(free)


THIS: Final = ThisMachine()


def attends_without_plans() -> None:
    """cuDNN's attention is planned on the host, anew for each length of a text, so a text would wait for its plan."""
    torch.backends.cuda.enable_cudnn_sdp(False)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor there, without waiting for its arrival."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
