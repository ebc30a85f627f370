"""Category outputs are learned from known categories only, and rare ones are not drowned."""

from __future__ import annotations

import torch

from guards.starter.train.categories import MOST_OF_A_CATEGORY, chosen, fitted
from guards.starter.train.data import Row


def test_only_rows_with_known_categories_are_chosen_and_none_takes_over() -> None:
    common = [Row(f"hate {n}", "a", "en", unsafe=True, categories=frozenset({"S10"})) for n in range(900)]
    unknown = Row("who knows", "a", "en", unsafe=True)
    attack = Row("no rules now", "own", "en", attack=True)
    own = Row("break the sandbox", "own", "en", unsafe=True, categories=frozenset({"S14"}))
    safe = Row("lentil soup", "a", "en", unsafe=False, categories=frozenset())
    rows = chosen([*common, unknown, safe], [own, attack], seed=1)
    assert len(rows) == MOST_OF_A_CATEGORY + 2
    assert own in rows
    assert safe in rows
    assert unknown not in rows
    assert attack not in rows


def test_a_rare_category_is_found_beside_a_common_one() -> None:
    torch.manual_seed(2)
    pooled, targets = torch.randn(2000, 8) * 0.3, torch.zeros(2000, 2)
    targets[:600, 0], targets[600:612, 1] = 1.0, 1.0
    pooled[:600, 0] += 1.5
    pooled[600:612, 1] += 1.5
    weight, bias = fitted(pooled, targets, torch.ones(2000))
    said = (pooled @ weight.T + bias).sigmoid() > 0.5
    assert said[:600, 0].float().mean() > 0.9
    assert said[600:612, 1].float().mean() > 0.7
    assert said[612:].float().mean() < 0.05
