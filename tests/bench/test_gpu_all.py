"""The one command for a GPU: its parts run, end in time, and what they found is told."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import torch

from bench.gpu import all as everything
from bench.gpu.all import Part, parts
from bench.gpu.tables import written


def ran(code: str, seconds: float = 60.0) -> everything.Row:
    return everything._ran(Part("one", 1.0, ("-c", code)), seconds)


def test_what_a_part_prints_as_json_are_its_rows() -> None:
    row = ran("print('a'); print('{\"b\": 1}'); print('{half'); print('3 passed, 2 errors'); raise SystemExit(1)")
    assert (row["status"], row["rows"], row["counts"]) == (1, [{"b": 1}], {"passed": 3, "error": 2})


def test_a_part_that_hangs_is_ended_and_what_it_said_is_kept() -> None:
    """With whoever it started, who holds the same output."""
    began = time.monotonic()
    code = "import os, time; os.fork(); os.write(1, b'here'); time.sleep(60)"
    assert everything._output([sys.executable, "-c", code], 4.0) == (None, "herehere")
    assert time.monotonic() - began < 30


def test_without_time_a_part_is_not_begun() -> None:
    assert ran("", 1.0)["why"] == "out of time"


def test_parts_for_a_gpu_are_there() -> None:
    commands = [part.command for part in parts("cuda")]
    for path in (*everything.TESTS, *everything.MORE_TESTS, "bench/gpu/pytest.ini"):
        assert Path(path).exists()
        assert path in commands[0]
    named = [part.name for part in parts("cuda")]
    assert named == ["tests", "kernels", "engine", "guards", "early-tests", "early-engine"]
    assert [part.is_early for part in parts("cuda")] == [False] * 4 + [True] * 2
    assert all(Path(path).exists() for path in everything.EARLY_TESTS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(tmp_path: Path) -> None:
    assert everything.main(["--out", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


def test_a_trial_on_a_processor_is_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert everything.main(["--device", "cpu", "--out", str(tmp_path), "--parts", "kernels"]) == 2
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["machine"]["python"] == sys.version.split()[0]
    assert found["parts"]["kernels"]["status"] == 2
    table = (tmp_path / "gpu.md").read_text()
    assert table in capsys.readouterr().out
    assert "| small experts | int4 | 1 |" in table


def test_a_model_and_one_that_did_not_fit() -> None:
    step = {"ms": 3.1, "times_floor": 1.4}
    mixed = {"guard_p50_ms": 9.0, "guard_p99_ms": 20.0, "chat_lost": 0.25}
    row = {"shape": "scout", "layers": 48, "precision": "int4", "decode": {"1": step, "8": step}}
    row |= {"prefill": {"share_of_matrix_rate": 0.6}, "first_token_s_1024": 0.1, "mixed": mixed, "peak_gb": 80.1}
    other = {"shape": "scout", "layers": 48, "precision": "fp8", "not_measured": "out of time"}
    part = {"status": 0, "seconds": 3.0, "rows": [row, other]}
    told = written({"machine": {"device": "a card"}, "parts": {"engine": part}})
    assert "| scout, 48 layers | int4 | 3.1 (1.4), 3.1 (1.4) | 0.6 | 1024: 0.1 | p50 9.0, p99 20.0 ms" in told
    assert "| scout, 48 layers | fp8 | out of time |" in told
