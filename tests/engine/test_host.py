"""All models or none, checked before anything is loaded."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import NotFound, Unavailable
from engine.host import Host
from engine.spec import ModelSpec, parse_specs
from tests.engine import adapting, tiny


def loaded(*specs: ModelSpec) -> Host:
    host, ended = Host(specs, threads=1), threading.Event()
    host.load_in_thread(ended.set)
    for _ in range(600):
        if host.is_ready or ended.wait(0.05):
            return host
    raise AssertionError("neither ready nor ended")


def test_models_are_served_by_name_and_task(tmp_path: Path) -> None:
    for name in ("c", "g"):
        (tmp_path / name).mkdir()
    tiny.bert(tmp_path / "c")
    tiny.llama4(tmp_path / "g")
    host = loaded(ModelSpec("c", tmp_path / "c", "classify", "fp32"), ModelSpec("g", tmp_path / "g", "generate"))
    try:
        assert [model.spec.name for model in host.served()] == ["c", "g"]
        assert host.classifier("c").precision == "fp32"
        assert host.generator("g").max_model_len == 256
        with pytest.raises(NotFound):
            host.classifier("g")
        with pytest.raises(NotFound):
            host.generator("x")
    finally:
        host.stop(5)


def test_one_damaged_model_keeps_all_from_being_served(tmp_path: Path) -> None:
    for name in ("c", "g"):
        (tmp_path / name).mkdir()
    tiny.bert(tmp_path / "c")
    tiny.llama4(tmp_path / "g")
    (tmp_path / "g" / "config.json").write_text("{}")
    host = loaded(ModelSpec("c", tmp_path / "c", "classify"), ModelSpec("g", tmp_path / "g", "generate"))

    assert host.failure is not None
    assert host.failure.code == "file_corrupt"
    with pytest.raises(Unavailable):
        host.classifier("c")


def test_too_little_memory_for_keys_and_values_is_refused(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    host = loaded(ModelSpec("g", tmp_path, "generate", kv_bytes=10))

    assert host.failure is not None
    assert host.failure.code == "kv_too_small"


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    tiny.bert(tmp_path)
    host = loaded(ModelSpec("g", tmp_path, "generate"))

    assert host.failure is not None
    assert host.failure.code == "model_unsupported"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("task", ["classify", "generate"])
def test_a_gpu_that_is_demanded_and_missing_ends_the_host(task: str, tmp_path: Path) -> None:
    if task == "classify":
        tiny.bert(tmp_path)
    else:
        tiny.dense(tmp_path)
    host = loaded(ModelSpec("m", tmp_path, task, device="cuda"))
    assert host.failure is not None
    assert host.failure.code == "device_missing"


def test_guards_that_generate_go_before_models_that_chat(tmp_path: Path) -> None:
    for name in ("chat", "guard"):
        (tmp_path / name).mkdir()
        tiny.dense(tmp_path / name)
    specs = parse_specs(
        json.dumps(
            [
                {"name": "chat", "path": str(tmp_path / "chat"), "task": "generate"},
                {
                    "name": "guard",
                    "path": str(tmp_path / "guard"),
                    "task": "generate",
                    "role": "guard",
                    "precision": "bf16",
                    "deterministic": True,
                },
            ]
        )
    )
    host = loaded(*specs)
    try:
        chat, guard = host.generator("chat"), host.generator("guard")
        assert [model.is_guard for model in (chat, guard)] == [False, True]
        assert (chat.precision, guard.precision) == ("fp32", "bf16")
        assert [model.lane.is_deterministic for model in (chat, guard)] == [False, True]
        assert host.loop.goes_first(guard.lane)
        assert not host.loop.goes_first(chat.lane)
    finally:
        host.stop(5)


def test_a_generating_model_runs_in_four_bits(tmp_path: Path) -> None:
    tiny.dense(tmp_path)
    host = loaded(ModelSpec("g", tmp_path, "generate", "int4"))
    try:
        assert host.generator("g").precision == "int4"
    finally:
        host.stop(5)


def test_experts_in_their_file_and_keys_in_eight_bits_answer(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    options: dict[str, Any] = {"kv_precision": "int8", "offload": "experts", "resident_bytes": 4096}
    host = loaded(*parse_specs(json.dumps([{"name": "g", "path": str(tmp_path), "task": "generate", **options}])))
    try:
        assert host.generator("g").max_model_len == 256
    finally:
        host.stop(5)


def test_a_damaged_adapter_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    tiny.llama4(tmp_path / "g")
    adapter = adapting.write(tmp_path / "a", tiny.oracle(tmp_path / "g"), ("q_proj",))
    (adapter / "extra").touch()
    host = loaded(ModelSpec("g", tmp_path / "g", "generate", adapters=(("g:a", adapter),)))

    assert host.failure is not None
    assert host.failure.code == "file_unlisted"
