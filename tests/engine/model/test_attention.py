"""What a token sees follows from its position, the chunk and the sequence, and from nothing else."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.kv_cache import KvCache
from engine.model.attention import Piece, plans, spans_of
from engine.shape import LayerConfig
from tests.engine.model_cases import reserved
from tests.engine.stand_ins import small_config


@given(st.integers(0, 90), st.integers(1, 60), st.one_of(st.none(), st.integers(1, 20)))
def test_spans_cover_each_position_once_and_never_look_over_a_border(start: int, count: int, chunk: int | None) -> None:
    seen = []
    for begin, end, first in spans_of(start, start + count, chunk):
        seen += range(begin, end)
        assert first == (0 if chunk is None else begin // chunk * chunk)
        assert chunk is None or end - first <= chunk
    assert seen == list(range(start, start + count))


def naive(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, chunk: int | None) -> torch.Tensor:
    """One sequence from position 0, by definition."""
    out = torch.empty_like(q)
    groups = q.shape[1] // k.shape[1]
    for t in range(q.shape[0]):
        first = 0 if chunk is None else t // chunk * chunk
        for h in range(q.shape[1]):
            keys, values = k[first : t + 1, h // groups], v[first : t + 1, h // groups]
            weights = (keys @ q[t, h] / q.shape[2] ** 0.5).softmax(-1)
            out[t, h] = weights @ values
    return out


def scattered(cache: KvCache) -> None:
    """Leave every second block free only, so that what is reserved next does not lie in a row."""
    slots = [reserved(cache, 4) for _ in range(cache.blocks)]
    for slot in slots[::2]:
        cache.release(slot)


def test_two_sequences_in_pieces_attend_as_by_definition() -> None:
    torch.manual_seed(0)
    for chunk in (None, 4):
        layers = (LayerConfig(uses_rope=True, chunk=chunk, is_moe=True),)
        config = small_config(heads=4, kv_heads=2, head_dim=8, layers=layers)
        cache = KvCache(config, 100, block=4)
        scattered(cache)
        data = [[torch.randn(11, heads, 8) for heads in (4, 2, 2)] for _ in range(2)]
        slots = [reserved(cache, 11) for _ in range(2)]
        found: list[list[torch.Tensor]] = [[], []]
        for begin, end in ((0, 3), (3, 9), (9, 10), (10, 11)):
            packed = [torch.cat([data[s][part][begin:end] for s in (0, 1)]) for part in range(3)]
            pieces = [Piece(slots[s], s * (end - begin), begin, end - begin) for s in (0, 1)]
            rows = plans(pieces)[0].attend(*packed).split(end - begin)  # type: ignore[arg-type]
            for s in (0, 1):
                found[s].append(rows[s])
        for s in (0, 1):
            torch.testing.assert_close(torch.cat(found[s]), naive(*data[s], chunk), atol=1e-5, rtol=0)  # type: ignore[arg-type]
