"""Experts that stay in their file compute the same, and no more of them is in memory than was stated."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.config import read_config
from engine.errors import ModelRefused
from engine.generator import Options, load_generator
from engine.mapped import MappedFiles
from engine.runner import ModelRunner, Run
from engine.weights import load_weights
from tests.engine import tiny
from tests.engine.model_cases import Pair, prompt, reserved

MIB = 1024**2


def resident(path: Path) -> int:
    """Bytes of the file that are mapped into this process and in memory."""
    found, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-", line):
            counts = line.endswith(str(path))
        elif counts and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


@pytest.mark.parametrize("case", ["scout", "maverick", "two_experts"])
@pytest.mark.parametrize("limit", [0, 1])
def test_logits_are_those_of_the_other_implementation(case: str, limit: int, tmp_path: Path) -> None:
    """With a limit of one byte every expert is given back before the next one is read."""
    pair, ids = Pair(tmp_path, case), prompt(40)
    runner = ModelRunner(pair.config, load_weights(tmp_path, pair.config, mapped=MappedFiles(limit)))
    for pieces in ((40,), (13, 1, 26)):
        slot, begin = reserved(pair.cache(), 40), 0
        for size in pieces:
            found = runner.step([Run(slot, ids[begin : begin + size], [size - 1])])
            begin += size
        torch.testing.assert_close(found[0], pair.full(ids)[-1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_stored_in_sixteen_bits_is_widened_where_it_is_used(dtype: torch.dtype, tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(file).items()}, file)
    plain, mapped = (load_weights(tmp_path, pair.config, mapped=one) for one in (None, MappedFiles()))
    found = [ModelRunner(pair.config, one).step([Run(pair.slot(30), prompt(30), range(30))]) for one in (plain, mapped)]
    torch.testing.assert_close(*found, atol=1e-4, rtol=0)


def test_no_more_is_in_memory_than_the_limit_says(tmp_path: Path) -> None:
    path, experts, each = tmp_path / "model.safetensors", 12, 2 * MIB
    save_file({"experts": torch.randn(experts, 512, each // 4 // 512)}, path)
    files = MappedFiles(3 * each)
    matrices = files.experts(path, "experts", experts, 512, each // 4 // 512)
    x_ti, most = torch.ones(1, 512), 0
    stored = load_file(path)["experts"].clone()
    for turn in range(3):
        for at, one in enumerate(matrices):
            assert torch.allclose(one.times(x_ti), x_ti @ stored[at], atol=1e-3), turn
            most = max(most, resident(path))
    # The system maps a file's cached neighbours of what is read, too.
    assert 0 < most <= 5 * each


def test_without_a_limit_what_was_used_stays_and_the_rest_was_never_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"experts": torch.randn(8, 512, 1024)}, path)
    matrices = MappedFiles().experts(path, "experts", 8, 512, 1024)
    matrices[5].times(torch.ones(1, 512))
    assert 2 * MIB * 0.9 <= resident(path) <= 3 * 2 * MIB


def test_what_cannot_stay_in_the_file_is_refused(tmp_path: Path) -> None:
    def refused(directory: Path, options: Options) -> str:
        with pytest.raises(ModelRefused) as caught:
            load_generator(directory, options)
        return caught.value.code

    (tmp_path / "dense").mkdir()
    tiny.dense(tmp_path / "dense")
    assert refused(tmp_path / "dense", Options(kv_bytes=MIB, offload="experts")) == "offload_unsupported"
    with pytest.raises(ModelRefused, match="int8"):
        Options(offload="experts", precision="int8")
    tiny.llama4(tmp_path / "moe")
    file = tmp_path / "moe" / "model.safetensors"
    tensors = load_file(file)
    name = "model.layers.0.feed_forward.experts.down_proj"
    save_file({**tensors, f"{name}_scale": torch.ones(4, 1, 32)}, file)
    assert refused(tmp_path / "moe", Options(kv_bytes=MIB, offload="experts")) == "offload_unsupported"
    save_file({**tensors, name: tensors[name].to(torch.int8)}, file)
    assert refused(tmp_path / "moe", Options(kv_bytes=MIB, offload="experts")) == "offload_unsupported"
    save_file({**tensors, name: tensors[name][:, :3].contiguous()}, file)
    assert refused(tmp_path / "moe", Options(kv_bytes=MIB, offload="experts")) == "weights_mismatch"


def test_sharded_files_are_mapped_each(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    parts = {"a.safetensors": {}, "b.safetensors": {}}
    for at, (name, tensor) in enumerate(sorted(tensors.items())):
        parts[("a.safetensors", "b.safetensors")[at % 2]][name] = tensor.clone()
    (tmp_path / "model.safetensors").unlink()
    for file, held in parts.items():
        save_file(held, tmp_path / file)
    index = {name: file for file, held in parts.items() for name in held}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    runner = ModelRunner(pair.config, load_weights(tmp_path, read_config(tmp_path), mapped=MappedFiles()))
    ids = prompt(20)
    found = runner.step([Run(pair.slot(20), ids, [19])])[0]
    torch.testing.assert_close(found, pair.full(ids)[-1], atol=1e-4, rtol=0)
