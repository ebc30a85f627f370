"""Weights in fewer bits are read as what they stand for, in each form that published checkpoints have."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from engine import stored
from engine.errors import ModelRefused

W = "layer.weight"


@dataclass
class Held:
    """A checkpoint in memory."""

    tensors: dict[str, Tensor]
    used: set[str] = field(default_factory=set)

    def has(self, name: str) -> bool:
        return name in self.tensors

    def raw(self, name: str) -> Tensor:
        self.used.add(name)
        return self.tensors[name]


def packed(numbers: list[list[int]], bits: int) -> Tensor:
    """Each row of numbers, half of the range added, in words of 32 bits, the lowest first. By hand."""
    rows = []
    for row in numbers:
        whole = sum((number + (1 << (bits - 1))) << (bits * at) for at, number in enumerate(row))
        words = [(whole >> at) & 0xFFFFFFFF for at in range(0, bits * len(row), 32)]
        rows.append([word - (1 << 32) if word >> 31 else word for word in words])
    return torch.tensor(rows, dtype=torch.int32)


@pytest.mark.parametrize("shape", [(), (1,), (6, 1), (6, 2), (3, 2), (6,)], ids=str)
@pytest.mark.parametrize("end", ["_scale", "_scale_inv"])
def test_eight_bits_are_multiplied_by_the_scale_of_their_tensor_row_group_or_block(
    shape: tuple[int, ...], end: str
) -> None:
    weight = torch.arange(-24, 24).view(6, 8).to(torch.float8_e4m3fn)
    scale = torch.rand(shape) + 0.5
    held = Held({W: weight, W + end: scale})
    found = stored.read(held, W)
    for row in range(6):
        for column in range(8):
            if scale.numel() == 1:
                factor = scale.reshape(())
            elif scale.dim() == 1:
                factor = scale[row]
            else:
                factor = scale[row * shape[0] // 6, column * shape[1] // 8]
            assert found[row, column] == weight[row, column].float() * factor
    assert held.used == set(held.tensors)


def test_blocks_of_which_the_last_is_not_whole() -> None:
    scale = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = stored.read(Held({W: torch.ones(200, 256).to(torch.float8_e4m3fn), W + "_scale_inv": scale}), W)
    assert [found[at].item() for at in ((0, 0), (127, 127), (0, 128), (128, 0), (199, 255))] == [1, 1, 2, 3, 4]


def test_joined_experts_have_their_scales_by_output() -> None:
    torch.manual_seed(0)
    weight = torch.randn(3, 4, 6).to(torch.float8_e4m3fn)
    for shape in ((3, 1, 6), (3, 6, 1)):
        scale = torch.rand(shape) + 0.5
        found = stored.read(Held({"experts.down_proj": weight, "experts.down_proj_scale": scale}), "experts.down_proj")
        assert torch.equal(found, weight.float() * scale.reshape(3, 1, 6))


def test_whole_numbers_with_zero_points() -> None:
    weight, zero = torch.tensor([[1, 2], [3, -4]], dtype=torch.int8), torch.tensor([[1], [-1]], dtype=torch.int8)
    tensors = {W: weight, W + "_scale": torch.tensor([[0.5], [2.0]]), W + "_zero_point": zero}
    assert stored.read(Held(tensors), W).tolist() == [[0.0, 0.5], [8.0, -6.0]]


@given(st.data(), st.sampled_from([4, 8]), st.integers(1, 9), st.integers(1, 3), st.integers(5, 11))
def test_packed_numbers_come_out_as_they_went_in(
    data: st.DataObject, bits: int, outputs: int, groups: int, per_group: int
) -> None:
    half, inputs = 1 << (bits - 1), groups * per_group
    number = st.integers(-half, half - 1)
    rows = data.draw(st.lists(st.lists(number, min_size=inputs, max_size=inputs), min_size=outputs, max_size=outputs))
    zeros = data.draw(st.lists(st.lists(number, min_size=groups, max_size=groups), min_size=outputs, max_size=outputs))
    order = data.draw(st.permutations([at // per_group for at in range(inputs)]))
    scale = torch.rand(outputs, groups) + 0.5
    tensors = {
        W + "_packed": packed(rows, bits),
        W + "_shape": torch.tensor([outputs, inputs]),
        W + "_scale": scale,
        # Zero points are packed along the outputs.
        W + "_zero_point": packed([list(column) for column in zip(*zeros, strict=True)], bits).t(),
        W + "_g_idx": torch.tensor(order, dtype=torch.int32),
    }
    held = Held(tensors)
    assert stored.is_stored(held, W)
    found = stored.read(held, W)
    for o in range(outputs):
        for i in range(inputs):
            assert found[o, i] == (rows[o][i] - zeros[o][order[i]]) * scale[o, order[i]]
    assert held.used == set(tensors)


@pytest.mark.parametrize(
    ("tensors", "named"),
    [
        ({W: torch.ones(2, 2, dtype=torch.int8)}, "int8"),
        ({W: torch.ones(2, 2), W + "_scale": torch.ones(2, 1)}, "expected eight bits"),
        ({W: torch.ones(6, 4).to(torch.float8_e4m3fn), W + "_scale": torch.ones(4, 1)}, "4 factors for 6"),
        ({W: torch.ones(6, 4).to(torch.float8_e4m3fn), W + "_scale": torch.ones(0, 1)}, "0 factors for 6"),
        ({W: torch.ones(6, 4).to(torch.float8_e4m3fn), W + "_scale": torch.ones(6, 1, 1)}, "3 axes"),
        ({W + "_packed": torch.ones(2, 2, dtype=torch.int32), W + "_shape": torch.tensor([2, 40])}, "_packed"),
        ({W + "_packed": torch.ones(2, 2), W + "_shape": torch.tensor([2, 16])}, "_packed"),
        ({W + "_packed": torch.ones(2, 2, dtype=torch.int32), W + "_shape": torch.tensor([2])}, "_packed"),
        (
            {
                W + "_packed": torch.ones(2, 2, dtype=torch.int32),
                W + "_shape": torch.tensor([2, 16]),
                W + "_scale": torch.ones(2, 1),
                W + "_g_idx": torch.full((16,), 1),
            },
            "_g_idx",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(tensors: dict[str, Tensor], named: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        stored.read(Held(tensors), W)
    assert (caught.value.code, named in caught.value.problem) == ("weights_mismatch", True)
