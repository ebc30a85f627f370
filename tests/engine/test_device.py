"""On a machine without a GPU there is none, and nothing is moved."""

from __future__ import annotations

import pytest
import torch

from engine.device import CPU, THIS, missing, sent


def test_what_is_on_the_processor_stays_there() -> None:
    tensor = torch.arange(3)
    assert sent(tensor, CPU) is tensor


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_has_none() -> None:
    assert THIS.gpu() is None


def test_the_refusal_says_what_was_asked_for() -> None:
    assert missing().code == "device_missing"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_arrives() -> None:
    device = THIS.gpu()
    assert device is not None
    assert sent(torch.arange(3), device).tolist() == [0, 1, 2]
    assert THIS.free_bytes() > 0
