"""The model: Llama 4 in miniature, and a routed form of its experts that a CPU can train.

transformers sends every token through every expert and multiplies all but one with zero. `RoutedMoe` computes only
that one. The weights and the result are the same, which a test checks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Llama4ForCausalLM, Llama4TextConfig
from transformers.models.llama4.modeling_llama4 import Llama4TextMoe


def starter_config(eos: list[int], bos: int, pad: int, vocabulary: int) -> Llama4TextConfig:
    """About nine million parameters; chunked layers, and one without rotary positions after every third."""
    return Llama4TextConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=256,
        intermediate_size_mlp=256,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        num_local_experts=8,
        num_experts_per_tok=1,
        interleave_moe_layer_step=1,
        no_rope_layer_interval=4,
        attention_chunk_size=512,
        use_qk_norm=True,
        attn_temperature_tuning=True,
        floor_scale=512,
        attn_scale=0.1,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        initializer_range=0.05,
        tie_word_embeddings=False,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
    )


class RoutedMoe(Llama4TextMoe):
    """Llama4TextMoe that runs each token through its own expert only, and keeps the balance loss of the last call."""

    balance: Tensor
    dropout: float = 0.0

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Same result as the parent for top-1 routing."""
        x_TD = hidden_states.reshape(-1, self.hidden_dim)
        logits_TE = functional.linear(x_TD, self.router.weight).float()
        best_T, expert_T = logits_TE.max(dim=-1)
        order_T = expert_T.argsort()
        count_E = torch.bincount(expert_T, minlength=self.num_experts)
        scaled_TD = (x_TD * best_T.sigmoid().to(x_TD.dtype).unsqueeze(-1)).index_select(0, order_T)
        parts = zip(scaled_TD.split(count_E.tolist()), self.experts.gate_up_proj, self.experts.down_proj, strict=True)
        routed_TD = torch.cat([_expert(part, gate_up, down) for part, gate_up, down in parts])
        back_T = torch.empty_like(order_T)
        back_T[order_T] = torch.arange(len(order_T), device=order_T.device)
        share_E = count_E.float() / len(order_T)
        self.balance = self.num_experts * (share_E * logits_TE.softmax(-1).mean(0)).sum()
        out_TD = self.shared_expert(x_TD) + routed_TD.index_select(0, back_T)
        return functional.dropout(out_TD, self.dropout, self.training), logits_TE


def _expert(x_SD: Tensor, gate_up_DF: Tensor, down_FD: Tensor) -> Tensor:
    gate_SF, up_SF = (x_SD @ gate_up_DF).chunk(2, dim=-1)
    return (up_SF * functional.silu(gate_SF)) @ down_FD


def route(model: Llama4ForCausalLM) -> list[RoutedMoe]:
    """Make the experts of a model compute what they are chosen for, in place."""
    layers = []
    for layer in model.model.layers:
        layer.feed_forward.__class__ = RoutedMoe
        layers.append(layer.feed_forward)
    return layers


def matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are stored as float8: all but the norms, and the routers, whose ties are close."""
    return {n: p for n, p in model.named_parameters() if p.dim() > 1 and not n.endswith("router.weight")}


def rounded(weight: Tensor) -> Tensor:
    """The value that float8_e4m3fn keeps of a weight."""
    return weight.clamp(-448, 448).to(torch.float8_e4m3fn).to(weight.dtype)
