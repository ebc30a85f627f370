"""An adapter of the starter engine behind the gateway: asked by its name, or by a tenant's policy without knowing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine import manifest
from gateway.supervisor import starter_engine
from tests.e2e.conftest import RULES_ONLY, Gateway, serving

ROUTED = """\
  - id: to-the-clinics
    on: [user]
    when: {all: [{tenant: demo}, {vignette: {count: {gte: 1}}}]}
    do: {route: {model: 'gatehouse-starter:clinic'}}
"""
DETECTOR = "  vignette: {use: regex, pattern: '(?i)opening hours'}\nrules:\n"


def written(directory: Path) -> Path:
    config = json.loads((starter_engine() / "config.json").read_text())
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for index in range(config["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{index}.self_attn.o_proj.lora_"
        inputs = config["num_attention_heads"] * config["head_dim"]
        tensors[f"{name}A.weight"] = torch.randn(4, inputs, generator=generator)
        tensors[f"{name}B.weight"] = torch.randn(config["hidden_size"], 4, generator=generator)
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors")
    stated = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": ["o_proj"]}
    (directory / "adapter_config.json").write_text(json.dumps(stated))
    manifest.write(directory, "clinic", "Apache-2.0")
    return directory


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("adapters")
    written(directory / "clinic")
    (directory / "policy.yaml").write_text(RULES_ONLY.replace("rules:\n", DETECTOR) + ROUTED)
    with serving(directory, policy="policy.yaml", engine="{starter: true, adapters: {clinic: clinic}}") as gateway:
        yield gateway


def answered(gateway: Gateway, text: str, model: str) -> tuple[str, str]:
    response = gateway.chat(text, model, temperature=0, max_tokens=12)
    assert response.status_code == 200, response.text
    body = response.json()
    return body["model"], body["choices"][0]["message"]["content"]


def test_an_adapter_is_a_model_of_its_own_name(gateway: Gateway) -> None:
    plain, adapted = (answered(gateway, "Hello", model) for model in ("gatehouse-starter", "gatehouse-starter:clinic"))

    assert (plain[0], adapted[0]) == ("gatehouse-starter", "gatehouse-starter:clinic")
    assert plain[1] != adapted[1]
    assert gateway.chat("Hello", "gatehouse-starter:bank").status_code == 404


def test_a_policy_sends_a_tenant_to_its_adapter(gateway: Gateway) -> None:
    routed = answered(gateway, "What are your opening hours?", "gatehouse-starter")
    assert routed == answered(gateway, "What are your opening hours?", "gatehouse-starter:clinic")
    assert routed[0] == "gatehouse-starter:clinic"
