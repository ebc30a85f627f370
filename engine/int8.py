"""Linear layers with eight-bit weights and eight-bit activations, for guards on a CPU.

Each output row of the weights and each token has its own scale, and the product is computed in integers: what a
token gets does not depend on the tokens that share its batch. Per-tensor scales, as in torch's dynamic quantisation,
would let one request move another's score. Biases, norms, attention and heads stay in fp32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

QMAX = 127.0
TINY = 1e-8


class Int8Linear(nn.Module):
    """Stands in for one nn.Linear. The fp32 weights are not kept."""

    weight_io: Tensor
    scale_o: Tensor
    bias_o: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight_oi = linear.weight.detach().float()
        scale_o = weight_oi.abs().amax(dim=1).clamp_min(TINY) / QMAX
        self.register_buffer("weight_io", (weight_oi / scale_o[:, None]).round().to(torch.int8).t())
        self.register_buffer("scale_o", scale_o)
        has_bias = "bias" in dict(linear.named_parameters())
        self.register_buffer("bias_o", linear.bias.detach().float().clone() if has_bias else torch.zeros_like(scale_o))

    def forward(self, x: Tensor) -> Tensor:
        rows_ti = x.reshape(-1, x.shape[-1])
        scale_t1 = rows_ti.abs().amax(dim=1, keepdim=True).clamp_min(TINY) / QMAX
        product_to = torch._int_mm((rows_ti / scale_t1).round_().to(torch.int8), self.weight_io)
        out_to = torch.addcmul(self.bias_o, product_to * scale_t1, self.scale_o)
        return out_to.view(*x.shape[:-1], out_to.shape[-1])


def quantise_layers(model: nn.Module) -> int:
    """Replace every Linear inside a numbered layer of `model`; heads and poolers stay as they are. Returns how many."""
    replaced = 0
    for name, module in list(model.named_modules()):
        in_stack = any(part.isdigit() for part in name.split("."))
        for child_name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and in_stack:
                setattr(module, child_name, Int8Linear(child))
                replaced += 1
    return replaced
