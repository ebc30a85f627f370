"""Which device a model gets, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from engine.device import CPU
from engine.errors import ModelRefused
from engine.placement import KV_SHARE, WORKSPACE, Asked, Placement, placed
from tests.engine.stand_ins import small_config

GPU = torch.device("cuda")
PLENTY = 100 * 10**9


@dataclass
class Has:
    """A machine with a GPU, or without one."""

    free: int | None

    def gpu(self) -> torch.device | None:
        return None if self.free is None else GPU

    def free_bytes(self) -> int:
        assert self.free is not None
        return self.free


def where(asked: Asked, free: int | None) -> Placement:
    return placed(asked, small_config(), {}, Has(free))


@pytest.mark.parametrize("free", [None, PLENTY])
def test_the_processor_is_had_when_asked_for(free: int | None) -> None:
    assert where(Asked("cpu", "auto"), free) == Placement(CPU, "fp32")


@pytest.mark.parametrize(
    ("asked", "free", "expected"),
    [
        (Asked("auto", "auto"), None, Placement(CPU, "fp32")),
        (Asked("auto", "int4"), None, Placement(CPU, "int4")),
        (Asked("auto", "auto"), PLENTY, Placement(GPU, "bf16", is_gpu=True)),
        (Asked("auto", "fp8"), PLENTY, Placement(GPU, "fp8", is_gpu=True)),
        (Asked("cuda", "fp32"), PLENTY, Placement(GPU, "fp32", is_gpu=True)),
        (Asked("auto", "auto"), WORKSPACE, Placement(CPU, "fp32")),
        (Asked("auto", "bf16", "`offload`"), PLENTY, Placement(CPU, "bf16")),
    ],
)
def test_auto_takes_a_gpu_that_is_there_and_has_room(asked: Asked, free: int | None, expected: Placement) -> None:
    assert where(asked, free) == expected


@pytest.mark.parametrize(
    ("asked", "free", "code"),
    [
        (Asked("cuda", "auto"), None, "device_missing"),
        (Asked("cuda", "auto"), WORKSPACE, "device_full"),
        (Asked("cuda", "auto", "`offload`"), PLENTY, "device_unsupported"),
        (Asked("auto", "fp8"), None, "precision_unsupported"),
        (Asked("cpu", "fp8"), PLENTY, "precision_unsupported"),
    ],
)
def test_what_cannot_be_had_is_refused(asked: Asked, free: int | None, code: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        where(asked, free)
    assert caught.value.code == code


def test_a_device_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ModelRefused, match="`tpu`"):
        Asked("tpu", "auto")


def test_a_share_of_what_is_free_is_for_keys_and_values() -> None:
    gpu = Placement(GPU, "bf16", is_gpu=True)
    assert gpu.kv_bytes(0, Has(WORKSPACE + 1000)) == 1000 * KV_SHARE
    assert gpu.kv_bytes(0, Has(WORKSPACE - 1)) == 0
    assert gpu.kv_bytes(77, Has(PLENTY)) == 77
    assert Placement(CPU, "fp32").kv_bytes(0, Has(None)) == 0
