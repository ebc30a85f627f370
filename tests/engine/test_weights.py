"""Each tensor is accounted for, whatever transformers or we wrote, and nothing but safetensors is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.config import read_config
from engine.errors import ModelRefused
from engine.parallel.share import Share
from engine.weights import Moe, Turned, load_weights
from tests.engine import tiny
from tests.engine.model_cases import Pair

Tensors = dict[str, torch.Tensor]
GATE_UP = "model.layers.0.feed_forward.experts.gate_up_proj"
NORM = "model.norm.weight"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama4(tmp_path_factory.mktemp("m"))


def copy_with(original: Path, target: Path, change: Callable[[Tensors], None]) -> Path:
    tensors = load_file(original / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors")
    (target / "config.json").write_bytes((original / "config.json").read_bytes())
    return target


def refused(directory: Path) -> ModelRefused:
    with pytest.raises(ModelRefused) as caught:
        load_weights(directory, read_config(directory))
    return caught.value


def test_experts_are_turned_to_linear_layout(original: Path) -> None:
    stored = load_file(original / "model.safetensors")[GATE_UP]

    moe = load_weights(original, read_config(original)).layers[0].feed_forward

    assert isinstance(moe, Moe)
    assert torch.equal(moe.gate_up_egD, stored.transpose(1, 2))
    assert moe.gate_up_egD.is_contiguous()


def test_eight_bit_values_are_cast_and_nothing_else_is_done_to_them(original: Path, tmp_path: Path) -> None:
    def shrink(tensors: Tensors) -> None:
        for name, tensor in tensors.items():
            tensors[name] = tensor.to(torch.float8_e4m3fn if tensor.dim() > 1 else torch.bfloat16)

    directory = copy_with(original, tmp_path, shrink)
    weights = load_weights(directory, read_config(directory))

    expected = load_file(original / "model.safetensors")["lm_head.weight"].to(torch.float8_e4m3fn).float()
    assert torch.equal(weights.head_vD, expected)
    assert weights.layers[0].qkv.dtype == torch.float32


def test_shards_are_read_through_their_index(original: Path, tmp_path: Path) -> None:
    from transformers import Llama4ForCausalLM

    Llama4ForCausalLM.from_pretrained(original).save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1

    sharded, whole = (load_weights(path, read_config(path)) for path in (tmp_path, original))

    assert torch.equal(sharded.head_vD, whole.head_vD)
    assert torch.equal(sharded.layers[3].qkv, whole.layers[3].qkv)


def test_a_missing_tensor_is_named(original: Path, tmp_path: Path) -> None:
    def drop(tensors: Tensors) -> None:
        del tensors[NORM]

    error = refused(copy_with(original, tmp_path, drop))
    assert error.code == "weights_mismatch"
    assert NORM in error.problem


def test_an_unexpected_tensor_is_named(original: Path, tmp_path: Path) -> None:
    error = refused(copy_with(original, tmp_path, lambda tensors: tensors.update(extra=torch.zeros(1))))
    assert "extra" in error.problem


def test_a_dense_model_names_what_is_missing_and_what_is_too_much(tmp_path: Path) -> None:
    original, copy = tmp_path / "a", tmp_path / "b"
    original.mkdir()
    copy.mkdir()
    tiny.dense(original, tie_word_embeddings=True)
    gate = "model.layers.1.mlp.gate_proj.weight"

    assert gate in refused(copy_with(original, copy, lambda tensors: tensors.__delitem__(gate))).problem
    more = refused(copy_with(original, copy, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(320, 32)})))
    assert "lm_head.weight" in more.problem


def test_what_old_checkpoints_hold_beside_their_weights_is_left_alone(tmp_path: Path) -> None:
    original, copy = tmp_path / "a", tmp_path / "b"
    original.mkdir()
    copy.mkdir()
    tiny.dense(original)
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    copy_with(original, copy, lambda tensors: tensors.update({name: torch.zeros(4)}))

    assert len(load_weights(copy, read_config(copy)).layers) == 3


def test_experts_are_turned_round_when_their_turn_comes_and_the_shared_one_is_the_last() -> None:
    stack, last = torch.randn(3, 4, 5), torch.randn(5, 4)
    turned = Turned(stack, last)
    assert len(turned) == 4
    assert all(torch.equal(turned[at], stack[at].t()) for at in range(3))
    assert turned[0].is_contiguous()
    assert turned[3] is last
    assert [one is last for one in turned[2:]] == [False, True]


def test_processes_divide_each_expert_by_its_width(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "scout")
    parts = [load_weights(tmp_path, pair.config, share=Share(rank, 2)) for rank in (0, 1)]
    for layer, *shares in zip(pair.weights.layers, *(part.layers for part in parts), strict=True):
        whole = layer.feed_forward
        for rank, share in enumerate(one.feed_forward for one in shares):
            assert isinstance(whole, Moe)
            assert isinstance(share, Moe)
            gate_up = torch.as_tensor(whole.gate_up_egD)
            halves = [half.chunk(2, dim=1)[rank] for half in gate_up.chunk(2, dim=1)]
            assert torch.equal(torch.as_tensor(share.gate_up_egD), torch.cat(halves, dim=1))
            assert torch.equal(torch.as_tensor(share.down_eDf), torch.as_tensor(whole.down_eDf).chunk(2, dim=2)[rank])
