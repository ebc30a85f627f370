"""DeBERTa-v2's position term, exact, at a fraction of the cost of its definition.

The definition (transformers' `DisentangledSelfAttention`) projects a table of relative positions in every layer of
every call and gathers from two score matrices. Here the tables are projected once, at load. For texts of L tokens
only the 2L − 1 distances that occur are multiplied, ordered so that the matrix by query and key is a slanted view of
the product and nothing is gathered. Which distance uses which row of the table is asked of the model's own code,
once.

Letters: n texts, L rows of each, h heads, d width of a head, p rows of the position table, w = 2L − 1 distances.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Checkpoint: TypeAlias = Any
"""transformers' own modules carry no types."""


class Distances:
    """The row of the position table for every distance. Shared by all layers of one model."""

    def __init__(self, encoder: Checkpoint, span: int, longest: int, device: torch.device) -> None:
        query_minus_key = encoder.get_rel_pos(torch.empty(1, longest, 1, device=device))[0].long()
        ordered = torch.cat([query_minus_key[:, 0].flip(0), query_minus_key[0, 1:]])
        self._longest, self._rows = longest, (ordered + span).clamp(0, 2 * span - 1)

    def rows_w(self, length: int) -> Tensor:
        """In the order of key minus query, from 1 − L to L − 1: the middle of those for the longest text."""
        return self._rows[self._longest - length : self._longest + length - 1]


class DisentangledTerm:
    """One layer's scores of content to position, position to content, or both."""

    def __init__(self, distances: Distances, keys_hpd: Tensor | None, queries_hpd: Tensor | None) -> None:
        self._distances, self._keys_hpd, self._queries_hpd = distances, keys_hpd, queries_hpd

    def __call__(self, q_hnLd: Tensor, k_hnLd: Tensor) -> Tensor:
        rows_w = self._distances.rows_w(q_hnLd.shape[2])
        term: Tensor | None = None
        if self._keys_hpd is not None:
            term = _slanted(q_hnLd, self._keys_hpd.index_select(1, rows_w))
        if self._queries_hpd is not None:
            from_keys = _slanted(k_hnLd, self._queries_hpd.index_select(1, rows_w.flip(0))).transpose(-1, -2)
            term = from_keys if term is None else term + from_keys
        if term is None:
            raise ValueError("a position term needs at least one table")
        return term.contiguous()


def read_term(
    attention: Checkpoint, table_pD: Tensor | None, distances: Distances | None, dtype: torch.dtype
) -> DisentangledTerm | None:
    """The term of one layer, its tables projected; None for a model without one."""
    kinds = attention.pos_att_type
    if table_pD is None or distances is None or not {"c2p", "p2c"} & set(kinds):
        return None
    keys = queries = None
    if "c2p" in kinds:
        project = attention.key_proj if attention.share_att_key else attention.pos_key_proj
        keys = _projected(project, table_pD, attention, 1.0).to(dtype)
    if "p2c" in kinds:
        project = attention.query_proj if attention.share_att_key else attention.pos_query_proj
        queries = _projected(project, table_pD, attention, 1 / scale_of(attention)).to(dtype)
    return DisentangledTerm(distances, keys, queries)


def scale_of(attention: Checkpoint) -> float:
    """What all scores of a layer are divided by; it grows with the number of position terms."""
    terms = 1 + ("c2p" in attention.pos_att_type) + ("p2c" in attention.pos_att_type)
    return float((attention.attention_head_size * terms) ** 0.5)


def _projected(linear: nn.Linear, table_pD: Tensor, attention: Checkpoint, factor: float) -> Tensor:
    rows: Tensor = linear(table_pD) * factor
    return rows.view(len(rows), attention.num_attention_heads, -1).transpose(0, 1).contiguous()


def _slanted(rows_hnLd: Tensor, table_hwd: Tensor) -> Tensor:
    """Each row times the distances counted from its own place: by row and by the other's place."""
    heads, texts, length, width = rows_hnLd.shape
    product = torch.bmm(rows_hnLd.reshape(heads, texts * length, width), table_hwd.transpose(1, 2))
    wide = 2 * length - 1
    strides = (texts * length * wide, length * wide, wide - 1, 1)
    return product.as_strided((heads, texts, length, length), strides, product.storage_offset() + length - 1)
