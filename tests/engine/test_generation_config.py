"""How tokens are drawn by default, and what ends an answer: read from files that may be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ModelRefused
from engine.events import Sampling
from engine.generation_config import read_sampling, read_stop_ids


def written(directory: Path, **files: Any) -> Path:
    for name, value in files.items():
        (directory / f"{name}.json").write_text(json.dumps(value))
    return directory


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_sampling(tmp_path) == Sampling()
    assert read_stop_ids(tmp_path) == frozenset()


def test_what_is_said_is_the_default_and_nulls_are_nothing(tmp_path: Path) -> None:
    stated = {"temperature": 0.6, "top_p": 0.9, "top_k": 5, "min_p": None, "eos_token_id": [7, None]}
    written(tmp_path, generation_config=stated, config={"eos_token_id": None, "text_config": {"eos_token_id": 3}})
    assert read_sampling(tmp_path) == Sampling(temperature=0.6, top_p=0.9, top_k=5)
    assert read_stop_ids(tmp_path) == {7}
    written(tmp_path, config={"text_config": {"eos_token_id": 3}}, generation_config={"do_sample": False, "top_k": -1})
    assert read_sampling(tmp_path) == Sampling(temperature=0.0)
    assert read_stop_ids(tmp_path) == {3}


@pytest.mark.parametrize(
    "stated",
    [
        {"temperature": "hot"},
        {"temperature": float("nan")},
        {"temperature": -1},
        {"top_p": [1]},
        {"top_k": 1.5},
        {"min_p": {}},
        {"eos_token_id": "</s>"},
        {"eos_token_id": [[1]]},
        {"eos_token_id": -1},
        {"eos_token_id": True},
    ],
)
def test_what_is_said_wrongly_is_refused_by_its_key(tmp_path: Path, stated: dict[str, Any]) -> None:
    written(tmp_path, generation_config=stated)
    (key,) = stated
    with pytest.raises(ModelRefused, match=f"`{key}`"):
        (read_stop_ids if key == "eos_token_id" else read_sampling)(tmp_path)
