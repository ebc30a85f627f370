"""The files of a directory are one mapping: whole, within the directory, and nothing but safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import ModelRefused
from engine.shards import Shards

NORM = "model.norm.weight"
FILE, INDEX = "model.safetensors", "model.safetensors.index.json"


def written(directory: Path, **tensors: torch.Tensor) -> Path:
    save_file({NORM: torch.ones(32), **tensors}, directory / FILE)
    return directory


def read(directory: Path) -> None:
    with Shards(directory, torch.float32) as shards:
        shards.take(NORM, 32)
        shards.refuse_unused()


def refused(directory: Path) -> ModelRefused:
    with pytest.raises(ModelRefused) as caught:
        read(directory)
    return caught.value


def test_tensors_are_cast_and_the_parts_that_see_are_left_to_others(tmp_path: Path) -> None:
    seen = {"vision_model.x": torch.zeros(1), "multi_modal_projector.y": torch.zeros(1)}
    written(tmp_path, **seen, old_rotary=torch.zeros(1).half())
    with Shards(tmp_path, torch.bfloat16) as shards:
        assert shards.take("old_rotary", 1).dtype == torch.bfloat16
        assert shards.take(NORM, 32).dtype == torch.bfloat16
        shards.refuse_unused()
        assert shards.unserved() == set(seen)


def test_a_wrong_shape_and_a_wrong_type_are_named(tmp_path: Path) -> None:
    assert "[3]" in refused(written(tmp_path, **{NORM: torch.zeros(3)})).problem
    assert "int64" in refused(written(tmp_path, **{NORM: torch.zeros(32).long()})).problem


def test_what_is_missing_and_what_is_too_much_is_named(tmp_path: Path) -> None:
    assert "`extra`" in refused(written(tmp_path, extra=torch.zeros(1))).problem
    save_file({"other": torch.zeros(1)}, tmp_path / FILE)
    assert f"`{NORM}` is missing" in refused(tmp_path).problem


def indexed(directory: Path, index: object) -> Path:
    (directory / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))
    return directory


@pytest.mark.parametrize("name", ["../model.safetensors", "/model.safetensors", "model.bin", ""])
def test_an_index_that_leads_anywhere_else_is_refused(tmp_path: Path, name: str) -> None:
    assert refused(indexed(written(tmp_path), {"weight_map": {NORM: name}})).code == "weights_unsafe"


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": []}', "[" * 100_000])
def test_an_index_that_is_none_is_refused(tmp_path: Path, index: str) -> None:
    assert refused(indexed(written(tmp_path), index)).code == "weights_mismatch"


def test_a_shard_that_is_missing_is_named_and_a_tensor_is_in_one_of_them(tmp_path: Path) -> None:
    indexed(written(tmp_path), {"weight_map": {NORM: FILE, "more": "b.safetensors"}})
    error = refused(tmp_path)
    assert (error.code, "b.safetensors" in error.problem) == ("file_missing", True)
    save_file({NORM: torch.ones(32)}, tmp_path / "b.safetensors")
    assert "is in two files" in refused(tmp_path).problem


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"])
def test_what_is_not_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert refused(tmp_path).code == "weights_unsafe"


def test_a_cut_file_is_refused_and_so_is_none(tmp_path: Path) -> None:
    path = written(tmp_path) / FILE
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(tmp_path).code == "weights_truncated"
    path.unlink()
    assert refused(tmp_path).code == "file_missing"
