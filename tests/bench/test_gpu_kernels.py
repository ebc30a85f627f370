"""The benchmark of single kernels runs on a processor, too, and judges nothing there."""

from __future__ import annotations

import json

import pytest
import torch

from bench.gpu import kernels


def test_a_trial_on_a_processor_measures_everything_and_judges_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert kernels.main(["--device", "cpu", "--rows", "1", "--precisions", "int4", "bf16"]) == 2

    _, *rows = capsys.readouterr().out.splitlines()
    found = [json.loads(row) for row in rows]
    assert {row.get("precision", row.get("kept")) for row in found} == {"int4", "bf16", "int8", "fp8"}
    assert all(row["times_floor"] > 0 for row in found)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured() -> None:
    assert kernels.main([]) == 2
