"""numba is an extra: with it there are loops, without it everything is as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.form import Form
from engine.fused.choose import form_on_processors, fused, is_available
from engine.fused.runner import FusedRunner
from engine.generator import Options, load_generator
from engine.kv_cache import KvCache
from engine.matrix import DTYPES, LAYS
from engine.runner import Run
from tests.engine import tiny
from tests.engine.model_cases import Pair, prompt, reserved

WITHOUT = """
import sys

sys.modules["numba"] = None
from engine.form import Form
from engine.fused.choose import is_available

assert not is_available()
"""


def test_where_numba_is_missing_nobody_asks_for_loops() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], check=True)
    assert is_available(), "the tests need it"


def test_loops_have_their_own_forms_and_torch_its_own(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    assert form_on_processors("int8", in_loops=False) == Form(LAYS["int8"])
    assert form_on_processors("int8", in_loops=True).lay is not LAYS["int8"]
    assert fused(pair.config, pair.weights, pair.runner, in_loops=False) is pair.runner
    assert isinstance(fused(pair.config, pair.weights, pair.runner, in_loops=True), FusedRunner)


def test_a_model_that_is_served_decodes_in_loops_unless_its_keys_are_kept_otherwise(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    loops, other = (
        load_generator(tmp_path, Options(10_000_000, "fp32", kv_precision=kept)) for kept in ("auto", "int8")
    )
    ids = prompt(20)
    found = []
    for one in (loops, other):
        cache = KvCache(one.shape, 64, DTYPES["fp32"])
        found.append(one.lane._runner.step([Run(reserved(cache, 20), ids, [19])]))
    assert isinstance(loops.lane._runner, FusedRunner)
    assert not isinstance(other.lane._runner, FusedRunner)
    assert (found[0] - found[1]).abs().max() < 1e-4
