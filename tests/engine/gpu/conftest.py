"""Triton is told to interpret before anything imports it: torch does so by itself, long before a kernel is wanted."""

from __future__ import annotations

import os

import pytest
import torch

COMPILING_S = 600.0
"""A test on a GPU may have to compile a hundred kernels."""

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu") is not None:
            item.add_marker(pytest.mark.timeout(COMPILING_S))
