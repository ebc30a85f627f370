"""Triton is told to interpret before anything imports it: torch does so by itself, long before a kernel is wanted."""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
