"""What an adapter's configuration says, and what is refused by its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.adapter_config import parse_adapter_config, read_adapter_config
from engine.errors import ModelRefused

PLAIN = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["v_proj", "q_proj"]}
AS_PEFT_WRITES = {
    "alora_invocation_tokens": None,
    "alpha_pattern": {},
    "arrow_config": None,
    "auto_mapping": None,
    "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
    "bias": "none",
    "corda_config": None,
    "ensure_weight_tying": False,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_bias": False,
    "lora_dropout": 0.1,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "rank_pattern": {},
    "revision": None,
    "target_parameters": None,
    "task_type": "CAUSAL_LM",
    "trainable_token_indices": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
}


def test_what_peft_writes_of_itself_is_read() -> None:
    config = parse_adapter_config({**AS_PEFT_WRITES, **PLAIN})

    assert (config.rank, config.alpha, config.targets) == (8, 16, ("q_proj", "v_proj"))
    assert config.factor("model.layers.0.self_attn.q_proj") == 2.0


def test_a_stabilised_rank_divides_by_its_root() -> None:
    config = parse_adapter_config({**PLAIN, "r": 16, "use_rslora": True})
    assert config.factor("model.layers.0.self_attn.q_proj") == 4.0


def test_patterns_change_modules_by_the_end_of_their_name() -> None:
    stated = {"rank_pattern": {"q_proj": 4, "^model.layers.1.v_proj": 2}, "alpha_pattern": {"layers.1.q_proj": 1}}
    config = parse_adapter_config({**PLAIN, **stated})

    assert [config.rank_of(f"model.layers.{name}") for name in ("0.q_proj", "1.v_proj", "0.v_proj", "0.xq_proj")] == [
        4,
        2,
        8,
        8,
    ]
    assert config.factor("model.layers.1.q_proj") == 0.25
    assert config.factor("model.layers.0.q_proj") == 4.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "IA3"),
        ("use_dora", True),
        ("bias", "lora_only"),
        ("lora_bias", True),
        ("modules_to_save", ["lm_head"]),
        ("target_parameters", ["experts.gate_up_proj"]),
        ("trainable_token_indices", [1]),
        ("alora_invocation_tokens", [1, 2]),
        ("layer_replication", [[0, 2], [1, 3]]),
        ("init_lora_weights", "pissa"),
        ("fan_in_fan_out", True),
        ("use_qalora", True),
        ("rank_pattern", {"(a+)+$": 4}),
        ("use_something_of_next_year", True),
    ],
)
def test_what_is_not_computed_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(ModelRefused, match=f"`{key}`") as caught:
        parse_adapter_config({**PLAIN, key: value})
    assert caught.value.code == "adapter_unsupported"


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("r", 0, "config_invalid"),
        ("r", -1, "config_invalid"),
        ("r", "8", "config_invalid"),
        ("r", True, "config_invalid"),
        ("r", None, "config_invalid"),
        ("r", 257, "adapter_too_large"),
        ("rank_pattern", {"q_proj": 0}, "config_invalid"),
        ("rank_pattern", ["q_proj"], "config_invalid"),
        ("alpha_pattern", {"q_proj": float("inf")}, "config_invalid"),
        ("lora_alpha", 0, "config_invalid"),
        ("lora_alpha", float("nan"), "config_invalid"),
        ("target_modules", [5], "config_invalid"),
    ],
)
def test_numbers_that_cannot_be_are_refused(key: str, value: object, code: str) -> None:
    with pytest.raises(ModelRefused, match=key) as caught:
        parse_adapter_config({**PLAIN, key: value})
    assert caught.value.code == code


@pytest.mark.parametrize(
    "choice", [{"target_modules": ".*_proj"}, {"layers_to_transform": [0]}, {"exclude_modules": "x"}]
)
def test_a_choice_by_pattern_or_layer_promises_no_tensor(choice: dict[str, object]) -> None:
    assert parse_adapter_config({**PLAIN, **choice}).targets == ()


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(ModelRefused, match=r"adapter_config\.json"):
        read_adapter_config(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="cannot be read"):
        read_adapter_config(tmp_path)
