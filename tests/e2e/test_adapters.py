"""An adapter of the starter engine behind the gateway: asked by its name, or by a tenant's policy without knowing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine import manifest
from gateway.engine_settings import starter_engine
from tests.e2e.conftest import RULES_ONLY, Gateway, serving

ROUTED = """\
  - id: to-the-clinics
    on: [user]
    when: {all: [{tenant: demo}, {vignette: {count: {gte: 1}}}]}
    do: {route: {model: 'gatehouse-starter:clinic'}}
"""
DETECTOR = "  vignette: {use: regex, pattern: '(?i)opening hours'}\nrules:\n"


ODA = "gh_oda-the-operator-0003"


def written(directory: Path, seed: int = 1) -> Path:
    config = json.loads((starter_engine() / "config.json").read_text())
    generator = torch.Generator().manual_seed(seed)
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
    engine = "{starter: true, adapters: {clinic: clinic}}\n"
    engine += f"operators: [{{name: oda, roles: [operator], sha256: {hashlib.sha256(ODA.encode()).hexdigest()}}}]"
    with serving(directory, policy="policy.yaml", engine=engine) as gateway:
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


def test_one_comes_and_goes_while_the_gateway_runs(gateway: Gateway) -> None:
    """By the command of an operator; both are records, and the log verifies with them."""
    written(gateway.directory / "bank", seed=2)
    (gateway.directory / "oda.key").write_text(ODA)
    options = ("--config", str(gateway.config), "--key-file", "oda.key")

    added = gateway.command("models", "adapters", "add", "bank", "bank", *options)
    assert added.returncode == 0, added.stderr
    assert gateway.command("models", "adapters", "list", *options).stdout.count("rank 4") == 2
    bank = answered(gateway, "Hello", "gatehouse-starter:bank")
    assert bank[1] not in {
        answered(gateway, "Hello", model)[1] for model in ("gatehouse-starter", "gatehouse-starter:clinic")
    }

    assert gateway.command("models", "adapters", "remove", "bank", *options).returncode == 0
    assert gateway.chat("Hello", "gatehouse-starter:bank").status_code == 404
    assert answered(gateway, "Hello", "gatehouse-starter:clinic")
    bad = gateway.command("models", "adapters", "add", "worse", ".", *options)
    assert (bad.returncode, "manifest_missing" in bad.stderr) == (2, True)
    records = b"".join(path.read_bytes() for path in gateway.audit_dir.rglob("*") if path.is_file())
    assert records.count(b'"type":"engine.adapter"') == 2
