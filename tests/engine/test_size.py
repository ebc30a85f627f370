"""The arithmetic gives the published sums, what checkpoints hold, and what a cache takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from engine.config import parse_config, read_config
from engine.form import Form
from engine.matrix import LAYS, Laid
from engine.published import PUBLISHED
from engine.size import Kv, Plan, active, kv_of, parameters, weight_bytes, wide_head_bytes
from engine.weights import load_weights
from tests.engine import tiny

GB = 1e9


def counted(name: str) -> dict[str, int]:
    return parameters(parse_config(PUBLISHED[name]), PUBLISHED[name])


@pytest.mark.parametrize(
    ("name", "text", "whole", "used"),
    [
        ("scout", 107.77, 108.64, 17.17),
        ("maverick", 400.71, 401.58, 17.18),
        ("llama-guard-4", 11.13, 12.00, 11.13),
        ("llama-guard-3-8b", 8.03, 8.03, 8.03),
    ],
)
def test_sums_are_those_that_are_published(name: str, text: float, whole: float, used: float) -> None:
    kinds = counted(name)
    assert (sum(kinds.values()) - kinds.get("vision", 0)) / 1e9 == pytest.approx(text, abs=0.005)
    assert sum(kinds.values()) / 1e9 == pytest.approx(whole, abs=0.005)
    assert active(parse_config(PUBLISHED[name]), kinds) / 1e9 == pytest.approx(used, abs=0.005)


def test_experts_are_nearly_all_of_a_mixture() -> None:
    for name, experts, share in (("scout", 96.64, 0.897), ("maverick", 386.55, 0.965)):
        kinds = counted(name)
        assert kinds["experts"] / 1e9 == pytest.approx(experts, abs=0.005)
        assert kinds["experts"] / (sum(kinds.values()) - kinds["vision"]) == pytest.approx(share, abs=0.0005)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("scout", {"bf16": 217, "fp8": 113, "int4-experts": 74, "int4": 60}),
        ("maverick", {"bf16": 803, "fp8": 411, "int4-experts": 229, "int4": 211}),
        ("llama-guard-4", {"bf16": 24.0, "fp8": 15.1, "int4": 10.6}),
        ("llama-guard-3-8b", {"bf16": 16.1, "fp8": 9.2, "int4": 5.7}),
    ],
)
def test_weights_take_the_known_bytes(name: str, sizes: dict[str, float]) -> None:
    kinds = counted(name)
    for precision, expected in sizes.items():
        found = sum(weight_bytes(kinds, precision).values()) / GB
        assert found == pytest.approx(expected, abs=0.5 if expected > 25 else 0.06), precision


@pytest.mark.parametrize(
    ("positions", "whole", "hybrid"),
    [(2**13, 1.6, 1.6), (2**17, 25.8, 7.7), (2**20, 206.2, 52.7), (10 * 2**20, 2061.6, 516.6)],
)
def test_keys_and_values_of_scout(positions: int, whole: float, hybrid: float) -> None:
    kv = kv_of(parse_config(PUBLISHED["scout"]), "bf16")
    assert (kv.full_bytes, kv.full_bytes + kv.chunked_bytes, kv.chunk) == (48 * 1024, 192 * 1024, 8192)
    assert kv.bytes_for(positions, hybrid=False) / GB == pytest.approx(whole, abs=0.05)
    assert kv.bytes_for(positions, hybrid=True) / GB == pytest.approx(hybrid, abs=0.05)
    for kept_as in ("int8", "fp8"):
        half = kv_of(parse_config(PUBLISHED["scout"]), kept_as)
        assert half.bytes_for(positions, hybrid=True) * 256 == kv.bytes_for(positions, hybrid=True) * (128 + 2)


def test_a_checkpoint_holds_as_many_as_are_counted(tmp_path: Path) -> None:
    """Every layer kind: chunked, NoPE, dense and routed."""
    directory = tiny.llama4(tmp_path, interleave_moe_layer_step=2)
    stored = sum(tensor.numel() for tensor in load_file(directory / "model.safetensors").values())
    assert sum(parameters(read_config(directory), {}).values()) == stored


@pytest.mark.parametrize(("family", "changes"), [("Llama", {"tie_word_embeddings": True}), ("Qwen3", {"head_dim": 8})])
def test_a_dense_checkpoint_holds_as_many_as_are_counted(tmp_path: Path, family: str, changes: dict[str, int]) -> None:
    tiny.dense(tmp_path, family, **changes)
    stored = sum(tensor.numel() for tensor in load_file(tmp_path / "model.safetensors").values())
    assert sum(parameters(read_config(tmp_path), {}).values()) == stored


def test_the_image_encoder_has_the_parameters_of_its_own_class() -> None:
    from transformers import Llama4VisionConfig
    from transformers.models.llama4.modeling_llama4 import Llama4MultiModalProjector, Llama4VisionModel

    raw = {
        "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 4,
        "image_size": 16, "num_channels": 3, "pixel_shuffle_ratio": 0.5, "projector_input_dim": 24,
        "projector_output_dim": 24, "vision_output_dim": 24,
    }  # fmt: skip
    config = tiny.llama4_config()
    vision = Llama4VisionConfig(**raw)
    whole = type("Whole", (), {"text_config": config, "vision_config": vision})()
    modules = (Llama4VisionModel(vision), Llama4MultiModalProjector(whole))
    held = sum(one.numel() for module in modules for one in module.parameters())

    plain = parse_config({**config.to_dict(), "architectures": ["Llama4ForCausalLM"]})
    assert parameters(plain, {"vision_config": raw})["vision"] == held


@given(
    room=st.integers(-10, 10**7),
    full=st.integers(1, 500),
    chunked=st.integers(0, 500),
    chunk=st.integers(1, 5000),
    hybrid=st.booleans(),
)
def test_the_longest_sequence_fits_and_one_more_position_does_not(
    room: int, full: int, chunked: int, chunk: int, hybrid: bool
) -> None:
    kv = Kv(full, chunked, chunk)
    longest = kv.most_positions(room, hybrid)
    assert longest == 0 or kv.bytes_for(longest, hybrid) <= room
    assert kv.bytes_for(longest + 1, hybrid) > room


def test_weights_that_do_not_fit_leave_room_for_nothing() -> None:
    plan = Plan("bf16", {"dense": 20.0}, Kv(1, 0, 0), card=10.0, workspace=1.0)
    assert plan.room == -11
    assert plan.sequences(1, hybrid=False) == 0
    assert not plan.fits(1, 1)


@pytest.mark.parametrize("is_tied", [False, True])
def test_a_widened_head_takes_what_is_told(tmp_path: Path, is_tied: bool) -> None:
    tiny.dense(tmp_path, tie_word_embeddings=is_tied)
    config = read_config(tmp_path)
    found = load_weights(tmp_path, config, torch.bfloat16, Form(LAYS["bf16"]))
    assert isinstance(found.head_vD, Laid)
    held = found.embedding_vD.nbytes + config.vocabulary * config.hidden * 4
    counted = weight_bytes(parameters(config, {}), "bf16")["embedding"]
    assert held == counted + wide_head_bytes(config)
