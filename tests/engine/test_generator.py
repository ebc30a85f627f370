"""A generating directory is whole and consistent, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.device import CPU
from engine.errors import BadRequest, ModelRefused
from engine.events import GenerateRequest, Grown, Sampling
from engine.generator import Generator, Options, load_generator
from engine.gpu.runner import GPU_RUNNING
from engine.placement import WORKSPACE
from tests.engine import tiny
from tests.engine.stand_ins import Heard

ENOUGH = Options(kv_bytes=10_000_000)


def test_stop_tokens_are_those_of_the_files_and_of_the_format(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 300}))

    assert load_generator(tmp_path, ENOUGH).stop_ids == {300, 1, 4, 5}


def test_the_files_say_how_tokens_are_drawn_by_default(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    assert load_generator(tmp_path, ENOUGH).defaults.temperature == 1.0
    (tmp_path / "generation_config.json").write_text(json.dumps({"temperature": 0.6, "top_p": 0.9, "top_k": 5}))
    found = load_generator(tmp_path, ENOUGH).defaults
    assert (found.temperature, found.top_p, found.top_k) == (0.6, 0.9, 5)
    (tmp_path / "generation_config.json").write_text(json.dumps({"do_sample": False}))
    assert load_generator(tmp_path, ENOUGH).defaults.temperature == 0.0


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    tiny.byte_pairs(tmp_path, size=330)
    with pytest.raises(ModelRefused) as caught:
        load_generator(tmp_path, ENOUGH)
    assert caught.value.code == "tokenizer_invalid"


def test_a_tokenizer_of_few_tokens_with_an_id_beyond_the_model_is_refused(tmp_path: Path) -> None:
    """A text with that token would make every step fail that it is in, and three of those end the host."""
    tiny.llama4(tmp_path)
    path = tmp_path / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["model"]["vocab"]["z"] = 320
    path.write_text(json.dumps(raw))
    with pytest.raises(ModelRefused, match="ids up to 320") as caught:
        load_generator(tmp_path, ENOUGH)
    assert caught.value.code == "tokenizer_invalid"


def test_weights_that_compute_no_numbers_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny.llama4(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelRefused) as caught:
        load_generator(tmp_path, ENOUGH)
    assert caught.value.code == "not_finite"


def test_a_dense_model_with_turns_of_its_own_is_asked_with_ids(tmp_path: Path) -> None:
    tiny.dense(tmp_path)
    raw = (tmp_path / "tokenizer.json").read_text().replace("header_start", "start_header_id")
    (tmp_path / "tokenizer.json").write_text(raw)
    model = load_generator(tmp_path, ENOUGH)

    assert model.stop_ids == {1, 4, 5}
    with pytest.raises(BadRequest) as caught:
        _ = model.chat
    assert caught.value.code == "no_chat_format"


def test_a_llama_4_without_its_turns_is_refused(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    raw = (tmp_path / "tokenizer.json").read_text().replace("header_start", "start_header_id")
    (tmp_path / "tokenizer.json").write_text(raw)
    with pytest.raises(ModelRefused) as caught:
        load_generator(tmp_path, ENOUGH)
    assert caught.value.code == "tokenizer_invalid"


class Pretends:
    """A machine whose GPU is its processor: all that is written for GPUs runs, but no recorded graph."""

    def __init__(self, free: int) -> None:
        self._free = free

    def gpu(self) -> torch.device:
        return CPU

    def free_bytes(self) -> int:
        return self._free


def answers(model: Generator) -> list[list[int]]:
    """Seeded, greedy, limited and penalised ones, at once."""
    kinds = (
        Sampling(seed=1),
        Sampling(temperature=0),
        Sampling(seed=2, top_k=20),
        Sampling(seed=3, presence_penalty=1.0, logit_bias=((30, 2.0),)),
    )
    heard = [Heard() for _ in kinds]
    requests = [
        GenerateRequest(tuple(range(20 + at, 37 + 3 * at)), 40, 1e9, kind, ignores_end=True)
        for at, kind in enumerate(kinds)
    ]
    model.lane.add([model.sequence(one, ear) for one, ear in zip(requests, heard, strict=True)])
    while (work := model.lane.next(0)) is not None:
        work.run()
    return [[one.token for event in ear.events if isinstance(event, Grown) for one in event.tokens] for ear in heard]


def test_a_model_for_a_gpu_answers_as_on_a_processor(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    here = load_generator(tmp_path, ENOUGH)
    there = load_generator(tmp_path, Options(precision="fp32", device="cuda"), Pretends(WORKSPACE + 10**9))

    assert answers(there) == answers(here)
    assert (there.precision, there.device) == ("fp32", CPU)
    assert there.lane.max_model_len == here.lane.max_model_len == 256
    # Half a billion bytes are more than a small model could ever use.
    assert there.lane.cache.blocks < GPU_RUNNING * (256 // 16 + 1) * there.lane.cache.layout.units + 1


def test_on_a_gpu_auto_is_bf16_and_float8_is_known(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    for precision, name in (("auto", "bf16"), ("fp8", "fp8")):
        model = load_generator(tmp_path, Options(precision=precision, device="auto"), Pretends(WORKSPACE + 10**9))
        assert (model.precision, model.dtype) == (name, torch.bfloat16)
        assert all(len(tokens) == 40 for tokens in answers(model))


def test_a_gpu_that_is_demanded_and_not_there_is_a_refusal(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    with pytest.raises(ModelRefused) as caught:
        load_generator(tmp_path, Options(device="cuda"), Pretends(0))
    assert caught.value.code == "device_full"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp8", "int8", "int4"])
def test_a_real_gpu_answers(precision: str, tmp_path: Path) -> None:
    """Its twins are above. Greedily, in fp32, what a processor answers."""
    tiny.llama4(tmp_path)
    model = load_generator(tmp_path, Options(precision=precision, device="cuda"))
    assert model.device.type == "cuda"
    assert model.lane.cache.pages.keys_lkpd.is_cuda
    found = answers(model)
    assert all(len(tokens) == 40 for tokens in found)
    if precision == "fp32":
        assert found[1] == answers(load_generator(tmp_path, ENOUGH))[1]
