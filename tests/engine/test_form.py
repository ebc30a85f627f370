"""Processors get the forms of engine/matrix.py, GPUs those of engine/gpu."""

from __future__ import annotations

import pytest

from engine.device import CPU
from engine.form import GPU_DTYPES, form_for
from engine.gpu.head import Head
from engine.matrix import DTYPES, LAYS


@pytest.mark.parametrize("precision", DTYPES)
def test_on_a_processor_an_expert_is_a_projection_like_any_other(precision: str) -> None:
    form = form_for(precision, CPU, is_gpu=False)
    assert (form.lay, form.join, form.head, form.device) == (LAYS[precision], None, None, CPU)


@pytest.mark.parametrize("precision", GPU_DTYPES)
def test_for_a_gpu_experts_are_joined_and_the_head_stays_narrow(precision: str) -> None:
    form = form_for(precision, CPU, is_gpu=True)
    assert form.join is not None
    assert form.head is Head
