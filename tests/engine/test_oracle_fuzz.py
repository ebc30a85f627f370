"""A few of the models that nobody thought of; hundreds more are run by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.oracle_fuzz import compared


@pytest.mark.parametrize("seed", [2, 8])
def test_a_model_of_random_shape_agrees_with_transformers(tmp_path: Path, seed: int) -> None:
    found = compared(seed, tmp_path)
    assert found.tokens > 50
    assert found.yields > 0
    assert found.reused > 0
