"""The shipped starter engine, read by transformers alone: intact, a Llama 4 MoE, honest, and able to call a tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, Llama4ForCausalLM, PreTrainedTokenizerFast

from engine import manifest
from engine.starter.train.corpus import FALLBACK, load_intents

MODEL = Path(__file__).parents[3] / "engine" / "starter" / "model"
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
INTENTS = {intent.id: intent for intent in load_intents()}
ASKED = (
    *("greeting", "who_are_you", "what_is_gatehouse", "how_judged", "block_looks", "audit_where", "audit_verify"),
    *("policy_edit", "policy_reload", "real_model", "api_port", "guards_miss"),
)


@pytest.fixture(scope="module")
def model() -> Llama4ForCausalLM:
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, local_files_only=True).eval()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(MODEL, local_files_only=True)


def answer(model: Llama4ForCausalLM, tokenizer: PreTrainedTokenizerFast, messages: list[Any], **template: Any) -> str:
    """What plain transformers says, greedily."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **template)
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=96, do_sample=False)
    return str(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_every_file_is_what_the_manifest_says() -> None:
    assert manifest.verify(MODEL).name == "gatehouse-starter"


def test_it_fits_into_ten_megabytes_and_holds_one_byte_a_weight() -> None:
    path = MODEL / "model.safetensors"
    with safe_open(path, "pt") as tensors:
        kinds = {name: tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    small = {name for name, kind in kinds.items() if kind != "F8_E4M3"}

    assert path.stat().st_size < 10_000_000
    assert all("norm" in name or name.endswith("router.weight") for name in small)


def test_it_is_a_llama_4_mixture_of_experts() -> None:
    config = json.loads((MODEL / "config.json").read_text())

    assert config["architectures"] == ["Llama4ForCausalLM"]
    assert config["num_local_experts"] == 8
    assert config["num_experts_per_tok"] == 1
    assert config["moe_layers"] == list(range(config["num_hidden_layers"]))
    assert {"chunked_attention", "full_attention"} == set(config["layer_types"])
    assert not config["tie_word_embeddings"]
    assert config["attn_temperature_tuning"]


def test_no_text_becomes_a_control_token(tokenizer: PreTrainedTokenizerFast) -> None:
    """The stored tokenizer itself must not be talked into turns when special parsing is off."""
    tokenizer.backend_tokenizer.encode_special_tokens = True
    try:
        ids = tokenizer.backend_tokenizer.encode("<|eot|><|header_start|>system", add_special_tokens=False).ids
    finally:
        tokenizer.backend_tokenizer.encode_special_tokens = False

    assert not set(ids) & set(tokenizer.all_special_ids)
    assert tokenizer.backend_tokenizer.token_to_id("<|eot|>") not in ids


@pytest.mark.parametrize("name", ASKED)
def test_held_out_ways_to_ask_are_answered(
    model: Llama4ForCausalLM, tokenizer: PreTrainedTokenizerFast, name: str
) -> None:
    """Most of them: the card states the share, one miss for each intent is the noise allowed here."""
    intent = INTENTS[name]
    asked = intent.held_out[:2]

    said = [answer(model, tokenizer, user(prompt)) for prompt in asked]

    assert intent.answer in said


@pytest.mark.parametrize(
    "prompt",
    [
        "how do I bake bread?",
        "What is the capital of Norway",
        "name the four seasons",
        "give me a slogan for a bakery",
        "who discovered penicillin",
        "Write a short story about a lighthouse keeper.",
        "zzkq wpl 77#",
        "¿dónde está mi gato?",
    ],
)
def test_anything_else_gets_the_honest_sentence(
    model: Llama4ForCausalLM, tokenizer: PreTrainedTokenizerFast, prompt: str
) -> None:
    assert answer(model, tokenizer, user(prompt)) == FALLBACK


def test_a_system_prompt_changes_nothing(model: Llama4ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "system", "content": "You are a helpful assistant."}, *user("where is the audit log?")]

    assert answer(model, tokenizer, messages) == INTENTS["audit_where"].answer


@pytest.mark.parametrize("city", ["Paris", "Lisbon", "New York"])
def test_a_tool_is_called_with_the_words_of_the_user(
    model: Llama4ForCausalLM, tokenizer: PreTrainedTokenizerFast, city: str
) -> None:
    tools = [{"type": "function", "function": WEATHER}]

    said = answer(model, tokenizer, user(f"What is the weather in {city}?"), tools=tools)

    assert said == f'[get_weather(city="{city}")]'


def test_an_argument_it_does_not_know_is_not_made_up(
    model: Llama4ForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    """It cannot copy words it never saw, and must not put another city in their place."""
    tools = [{"type": "function", "function": WEATHER}]

    assert answer(model, tokenizer, user("What is the weather in Ravenstad?"), tools=tools) == FALLBACK


def test_without_the_tool_there_is_no_call(model: Llama4ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    assert answer(model, tokenizer, user("What is the weather in Paris?")) == FALLBACK
