"""Products of few rows, in one thread or several."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from engine.fused.hands import LARGE
from engine.fused.looped import Looped


def test_scales_are_those_of_the_outputs_or_none() -> None:
    x, weight = torch.randn(3, 16), torch.randint(-9, 9, (5, 16), dtype=torch.int8)
    scale = torch.randn(5)
    scaled, plain = Looped(weight.numpy(), scale.numpy())(x.numpy()), Looped(weight.numpy())(x.numpy())
    torch.testing.assert_close(torch.from_numpy(scaled), F.linear(x, weight.float()) * scale)
    torch.testing.assert_close(torch.from_numpy(plain), F.linear(x, weight.float()))


def test_several_threads_compute_what_one_does() -> None:
    x, weight = torch.randn(2, 64), torch.randint(-9, 9, (LARGE // 64 + 1, 64), dtype=torch.int8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found = Looped(weight.numpy())(x.numpy())
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(torch.from_numpy(found), F.linear(x, weight.float()), rtol=1e-5, atol=1e-4)
