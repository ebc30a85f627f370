"""The benchmark for a GPU: what it runs, runs on a processor; floors are those of plain arithmetic; bars are bars."""

from __future__ import annotations

import json

import pytest
import torch

from bench.gpu import engine
from bench.gpu.floors import prompt_flops, step_bytes

TBS, FLOPS = 4.3e12, 790e12


def test_a_trial_on_a_processor_measures_everything_and_judges_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert engine.main(["--device", "cpu", "--shape", "tiny", "--precision", "int4"]) == 2

    first, *rows, last = capsys.readouterr().out.splitlines()
    assert "for trying only" in first
    assert "for trying only" in last
    (row,) = map(json.loads, rows)
    assert (row["shape"], "not_measured" in row) == ("tiny", False)
    assert all(one["tokens_per_s"] > 0 and 1 <= one["experts_used"] <= 4 for one in row["decode"].values())
    assert row["prefill"]["share_of_matrix_rate"] > 0
    assert row["first_token_s_256"] > 0
    assert row["mixed"]["guard_calls"] >= 1
    assert row["mixed"]["chat_tokens_per_s_beside_guards"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured() -> None:
    assert engine.main([]) == 2


@pytest.mark.parametrize(
    ("precision", "batch", "used", "milliseconds"),
    [("int4", 1, 1.0, 2.3), ("fp8", 1, 1.0, 4.0), ("int4", 64, 15.7, 13.3), ("fp8", 64, 15.7, 24.7)],
)
def test_floors_of_scout_are_those_of_the_arithmetic(
    precision: str, batch: int, used: float, milliseconds: float
) -> None:
    floor = step_bytes(engine.published("scout"), precision, batch, 0, used) / TBS * 1000
    assert floor == pytest.approx(milliseconds, rel=0.08)


def test_keys_and_values_count_up_to_a_chunk() -> None:
    config = engine.published("scout")
    more = step_bytes(config, "int4", 1, 131_072, 1.0) - step_bytes(config, "int4", 1, 0, 1.0)
    assert more / TBS * 1000 == pytest.approx(1.8, rel=0.05)


def test_a_prompt_of_8192_takes_a_third_of_a_second() -> None:
    assert prompt_flops(engine.published("scout"), 8192) / FLOPS == pytest.approx(0.35, rel=0.05)


def row(shape: str = "scout", precision: str = "int4", **changes: float) -> engine.Row:
    found = {"one": 1.9, "many": 1.4, "prefill": 0.6} | changes
    decode = {1: {"times_floor": found["one"]}, 64: {"times_floor": found["many"]}}
    return {
        "shape": shape,
        "precision": precision,
        "decode": decode,
        "prefill": {"share_of_matrix_rate": found["prefill"]},
    }


def test_all_bars_are_met_or_one_is_missed() -> None:
    other = row("scout-eighth", "fp8")
    assert engine._judged([row(), other]) == 0
    for changes in ({"one": 2.1}, {"many": 1.6}, {"prefill": 0.4}):
        assert engine._judged([row(**changes), other]) == 1


def test_without_scout_in_both_precisions_nothing_is_said() -> None:
    assert engine._judged([row(), row("maverick-slice", "fp8")]) == 2
