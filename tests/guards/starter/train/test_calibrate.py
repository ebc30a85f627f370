"""Thresholds keep the rate that was asked for, and categories are stricter."""

from __future__ import annotations

import torch

from guards.starter.train.calibrate import CATEGORY_CEILING, CATEGORY_FLOOR, ordinary, rounded_up, thresholds
from guards.starter.train.data import Row


def test_the_rounded_threshold_still_holds_the_rate() -> None:
    torch.manual_seed(1)
    found = torch.rand(2000, 3)
    said = thresholds(found, ("unsafe", "S1", "S2"), 0, 0.02, "noise")
    assert float((found[:, 0] >= said["score"]).double().mean()) <= 0.02
    assert said["fpr"] == 0.02
    assert all(CATEGORY_FLOOR <= value <= CATEGORY_CEILING for value in said["categories"].values())
    assert rounded_up(0.98765) == 0.988


def test_only_ordinary_text_sets_a_threshold() -> None:
    rows = [
        Row("plain", "a", "en", attack=False, unsafe=False),
        Row("harmful", "a", "en", attack=False, unsafe=True),
        Row("attack", "a", "en", attack=True),
    ]
    assert [row.text for row in ordinary(rows, "injection")] == ["plain"]
    assert [row.text for row in ordinary(rows, "hazard")] == ["plain"]
