"""What a supervisor asks for becomes one value for each model, or wrong usage that names the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ModelRefused
from engine.options import Options
from engine.spec import ModelSpec, parse_specs


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "5",
        "[]",
        "{}",
        '["a"]',
        '[{"name": "a"}]',
        '[{"name":"a","path":".","task":"x"}]',
        '[{"name":"a","path":".","task":"classify","precision":"int3"}]',
        '[{"name":"a","path":".","task":"classify","more":1}]',
        '[{"name":"a","path":".","task":"generate","role":"boss"}]',
        '[{"name":"a","path":".","task":"generate","deterministic":"yes"}]',
        '[{"name":"a","path":".","task":"generate","kv_bytes":"1"}]',
        '[{"name":"a","path":".","task":"classify"},{"name":"a","path":".","task":"classify"}]',
    ],
)
def test_a_wrong_list_of_models_is_wrong_usage(raw: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        parse_specs(raw)
    assert caught.value.code == "usage"


def test_a_list_of_models_is_read() -> None:
    raw = json.dumps([{"name": "a", "path": "/x", "task": "classify"}])
    assert parse_specs(raw) == (ModelSpec("a", Path("/x"), "classify"),)


def test_a_device_is_told_apart_from_what_is_none(tmp_path: Path) -> None:
    raw = '[{"name": "a", "path": "/x", "task": "generate", "device": "cuda", "precision": "fp8"}]'
    assert parse_specs(raw)[0].device == "cuda"
    with pytest.raises(ModelRefused, match="`tpu`"):
        ModelSpec("a", tmp_path, "classify", device="tpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"kv_precision": "fp4"},
        {"kv_bytes": -1},
        {"processes": 0},
        {"offload": "everything"},
        {"resident_bytes": 1},
        {"offload": "experts", "resident_bytes": -1},
        {"offload": "experts", "task": "classify"},
        {"kv_precision": "int8", "task": "classify"},
    ],
)
def test_senseless_options_of_memory_are_wrong_usage(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelRefused) as caught:
        ModelSpec(**{"name": "g", "path": Path("x"), "task": "generate", **changes})
    assert caught.value.code == "usage"


def test_a_classifier_in_four_bits_is_wrong_usage() -> None:
    with pytest.raises(ModelRefused, match="expected one of auto, fp32, bf16, int8"):
        parse_specs('[{"name":"a","path":".","task":"classify","precision":"int4"}]')


def test_adapters_are_told_with_their_model() -> None:
    [spec] = parse_specs('[{"name": "g", "path": "/g", "task": "generate", "adapters": {"one": "/one"}}]')
    assert spec.adapters == (("g:one", Path("/one")),)


@pytest.mark.parametrize(
    "raw",
    [
        '[{"name": "g", "path": "/g", "task": "generate", "adapters": ["one"]}]',
        '[{"name": "g", "path": "/g", "task": "generate", "adapters": {"a b": "/one"}}]',
        '[{"name": "g", "path": "/g", "task": "generate", "adapters": {"one": 5}}]',
        '[{"name": "g", "path": "/g", "task": "classify", "adapters": {"one": "/one"}}]',
        '[{"name": "g", "path": "/g", "task": "generate", "adapters": {"a": "/one"}},'
        ' {"name": "g:a", "path": "/h", "task": "classify"}]',
    ],
)
def test_adapters_that_cannot_be_are_refused(raw: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        parse_specs(raw)
    assert caught.value.code == "usage"


def test_what_is_said_of_a_generating_model_is_how_it_is_run() -> None:
    raw = {"kv_bytes": 5, "precision": "bf16", "deterministic": True, "kv_precision": "int8", "processes": 2}
    [spec] = parse_specs(json.dumps([{"name": "g", "path": "/g", "task": "generate", **raw}]))
    assert spec.options == Options(5, "bf16", True, "int8", processes=2, device="auto")
