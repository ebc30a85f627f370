"""What may be asked of a model, by name: told once, without torch, for who reads options before that is there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TASKS: Final = ("classify", "generate")
ROLES: Final = ("chat", "guard")
DEVICES: Final = ("auto", "cpu", "cuda")
PRECISIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "classify": ("auto", "fp32", "bf16", "int8"),
        "generate": ("auto", "fp32", "bf16", "fp8", "int8", "int4"),
    }
)
"""Of the layers, by task."""
KV_PRECISIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"classify": ("auto",), "generate": ("auto", "int8", "fp8")}
)
"""Of keys and values, by task."""
AS_STORED: Final = ("fp32", "bf16")
"""Precisions of layers that need no form of weights other than the file's."""
