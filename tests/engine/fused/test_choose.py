"""numba is an extra: with it there are loops, without it everything is as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.choices import KV_PRECISIONS
from engine.form import Form
from engine.fused.choose import form_on_processors, fused, is_available
from engine.fused.runner import FusedRunner
from engine.generator import Options, load_generator
from engine.kv_cache import KvCache
from engine.matrix import LAYS
from engine.runner import ModelRunner, Run
from engine.weights import load_weights
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


@pytest.mark.parametrize("kept_as", KV_PRECISIONS["generate"])
def test_a_model_that_is_served_decodes_in_loops_however_its_keys_are_kept(tmp_path: Path, kept_as: str) -> None:
    tiny.llama4(tmp_path)
    served = load_generator(tmp_path, Options(10_000_000, "fp32", kv_precision=kept_as))
    weights = load_weights(tmp_path, served.shape)
    assert isinstance(served.lane._runner, FusedRunner)
    assert (served.lane.cache.pages.most > 0) == (kept_as != "auto")
    assert (served.lane.cache.pages.most > 0) == (kept_as != "auto")
    ids = prompt(20)
    found = []
    for runner in (served.lane._runner, ModelRunner(served.shape, weights)):
        found.append(runner.step([Run(reserved(KvCache(served.shape, 64), 20), ids, [19])]))
    assert (found[0] - found[1]).abs().max() < 1e-4
