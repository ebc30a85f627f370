"""Linear layers in fewer bits, for guards on a CPU. Biases, norms, attention and heads stay in fp32.

bf16 is what `auto` takes where the processor multiplies it in hardware: weights that are stored in eight bits are
exact in it, and probabilities of the starter guards move by less than 0.007. int8 is for processors without that and
has to be asked for: it moves them by up to 0.11, which is another verdict now and then. Its scales are one for each
output row and one for each token, and the product is computed in integers, so what a token gets does not depend on
the tokens that share its batch; with one scale for a tensor, one request could move another's score.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QMAX = 127.0
TINY = 1e-8


class Bf16Linear(nn.Module):
    """Stands in for one nn.Linear: bf16 in, fp32 out."""

    weight_oi: Tensor
    bias_o: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight_oi", linear.weight.detach().bfloat16())
        self.register_buffer("bias_o", _bias(linear))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.bfloat16(), self.weight_oi).float() + self.bias_o


class Int8Linear(nn.Module):
    """Stands in for one nn.Linear: both factors in int8, sums in int32."""

    weight_io: Tensor
    scale_o: Tensor
    bias_o: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight_oi = linear.weight.detach().float()
        scale_o = weight_oi.abs().amax(dim=1).clamp_min(TINY) / QMAX
        self.register_buffer("weight_io", (weight_oi / scale_o[:, None]).round().to(torch.int8).t())
        self.register_buffer("scale_o", scale_o)
        self.register_buffer("bias_o", _bias(linear))

    def forward(self, x: Tensor) -> Tensor:
        rows_ti = x.reshape(-1, x.shape[-1])
        scale_t1 = rows_ti.abs().amax(dim=1, keepdim=True).clamp_min(TINY) / QMAX
        product_to = torch._int_mm((rows_ti / scale_t1).round_().to(torch.int8), self.weight_io)
        out_to = torch.addcmul(self.bias_o, product_to * scale_t1, self.scale_o)
        return out_to.view(*x.shape[:-1], out_to.shape[-1])


KINDS = {"bf16": Bf16Linear, "int8": Int8Linear}


def has_fast_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware; emulated, it is slower than fp32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def reduce_layers(model: nn.Module, kind: str) -> int:
    """Replace every Linear inside a numbered layer of `model`; heads and poolers stay as they are. Returns how many."""
    replaced = 0
    for name, module in list(model.named_modules()):
        in_stack = any(part.isdigit() for part in name.split("."))
        for child_name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and in_stack:
                setattr(module, child_name, KINDS[kind](child))
                replaced += 1
    return replaced


def _bias(linear: nn.Linear) -> Tensor:
    has_one = "bias" in dict(linear.named_parameters())
    return linear.bias.detach().float().clone() if has_one else torch.zeros(linear.out_features)
