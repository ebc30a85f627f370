"""The routed form that trains the starter is the same function as transformers' own."""

from __future__ import annotations

import torch
from transformers import Llama4ForCausalLM

from engine.starter.train.architecture import matrices, rounded, route, starter_config


def test_routed_experts_compute_what_transformers_computes() -> None:
    torch.manual_seed(3)
    model = Llama4ForCausalLM(starter_config([1], 2, 3, 300)).eval()
    ids = torch.randint(0, 300, (2, 40))
    with torch.inference_mode():
        plain = model(ids, use_cache=False).logits
        route(model)
        routed = model(ids, use_cache=False).logits

    assert torch.allclose(plain, routed, atol=1e-4)


def test_it_has_about_nine_million_parameters_and_rounds_nearly_all_of_them() -> None:
    model = Llama4ForCausalLM(starter_config([1], 2, 3, 2048))
    total = sum(p.numel() for p in model.parameters())

    assert 8_500_000 < total < 9_500_000
    assert sum(p.numel() for p in matrices(model).values()) > 0.99 * total


def test_rounding_twice_changes_nothing_more() -> None:
    weight = torch.randn(50, 50) * 0.1

    assert torch.equal(rounded(rounded(weight)), rounded(weight))
