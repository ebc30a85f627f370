"""Linear layers as the processor likes them: weights laid out once, and in fewer bits where that was decided.

`fp32` changes nothing but the order of the weights in memory; on processors where torch's default product does not
use their widest instructions that alone makes it two to four times as fast. bf16 is what `auto` takes where the
processor multiplies it in hardware. int8 is for processors without that and has to be asked for: it moves the starter
guards' probabilities by up to 0.11, which is another verdict now and then. Its scales are one for each output row and
one for each token, and the product is computed in integers, so what a token gets does not depend on the tokens that
share its batch; with one scale for a tensor, one request could move another's score.
Heads, poolers, norms and embeddings stay in fp32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QMAX = 127.0
TINY = 1e-8
KINDS = ("fp32", "bf16", "int8")


class DenseLinear(nn.Module):
    """Stands in for one nn.Linear, and the exact GELU behind it if it has one. Computes in `dtype`, gives `out`."""

    weight_oi: Tensor
    bias_o: Tensor

    def __init__(
        self, weight_oi: Tensor, bias_o: Tensor, dtype: torch.dtype, out: torch.dtype, gelu: bool = False
    ) -> None:
        super().__init__()
        self._dtype, self._out, self._gelu = dtype, out, gelu
        weight_oi = weight_oi.detach().to(dtype)
        self._is_packed = packs(weight_oi)
        ordered = torch.ops.mkldnn._reorder_linear_weight(weight_oi) if self._is_packed else weight_oi
        self.register_buffer("weight_oi", ordered)
        self.register_buffer("bias_o", bias_o.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self._dtype)
        if self._is_packed:
            kind = "gelu" if self._gelu else "none"
            found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight_oi, self.bias_o, kind, [], "none")
            return found.to(self._out)
        found = F.linear(x, self.weight_oi, self.bias_o)
        return (F.gelu(found) if self._gelu else found).to(self._out)


class Int8Linear(nn.Module):
    """Stands in for one nn.Linear: both factors in int8, sums in int32."""

    weight_io: Tensor
    scale_o: Tensor
    bias_o: Tensor

    def __init__(self, weight_oi: Tensor, bias_o: Tensor, gelu: bool = False) -> None:
        super().__init__()
        self._gelu = gelu
        weight_oi = weight_oi.detach().float()
        scale_o = weight_oi.abs().amax(dim=1).clamp_min(TINY) / QMAX
        self.register_buffer("weight_io", (weight_oi / scale_o[:, None]).round().to(torch.int8).t())
        self.register_buffer("scale_o", scale_o)
        self.register_buffer("bias_o", bias_o.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        rows_ti = x.reshape(-1, x.shape[-1]).float()
        scale_t1 = rows_ti.abs().amax(dim=1, keepdim=True).clamp_min(TINY) / QMAX
        product_to = torch._int_mm((rows_ti / scale_t1).round_().to(torch.int8), self.weight_io)
        out_to = torch.addcmul(self.bias_o, product_to * scale_t1, self.scale_o)
        out = out_to.view(*x.shape[:-1], out_to.shape[-1])
        return F.gelu(out) if self._gelu else out


def has_fast_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware; emulated, it is slower than fp32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packs(weight: Tensor) -> bool:
    """Whether torch was built with the kernels that take laid-out weights, and this weight is for them."""
    return weight.device.type == "cpu" and bool(torch._C._has_mkldnn)


def make_linear(
    kind: str, weight_oi: Tensor, bias_o: Tensor, out: torch.dtype = torch.float32, gelu: bool = False
) -> nn.Module:
    """One layer of that kind, from the weights it stands in for."""
    if kind == "int8":
        return Int8Linear(weight_oi, bias_o, gelu)
    return DenseLinear(weight_oi, bias_o, torch.bfloat16 if kind == "bf16" else torch.float32, out, gelu)


def reduce_layers(model: nn.Module, kind: str) -> int:
    """Replace every Linear inside a numbered layer of `model`; heads and poolers stay as they are. Returns how many."""
    replaced = 0
    for name, module in list(model.named_modules()):
        in_stack = any(part.isdigit() for part in name.split("."))
        for child_name, child in list(module.named_children()):
            if type(child) is nn.Linear and in_stack:
                setattr(module, child_name, make_linear(kind, child.weight, bias_of(child)))
                replaced += 1
    return replaced


def bias_of(linear: nn.Linear) -> Tensor:
    """Zeros for a layer without one."""
    has_one = "bias" in dict(linear.named_parameters())
    return linear.bias if has_one else linear.weight.new_zeros(linear.out_features)
