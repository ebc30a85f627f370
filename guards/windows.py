"""Long text in overlapping windows, so that every token is seen and nothing that a boundary cuts is lost.

A classifier reads a fixed number of tokens and says nothing about the rest, often without any error. So the text is
encoded once, without special tokens, and cut here; the worst window counts. The last window ends at the last token
instead of being a short rest. Text that would need more windows than the cap is refused, never shortened.
"""

from __future__ import annotations

from collections.abc import Sequence

from guards.errors import ErrorKind, GuardError


def windows(ids: Sequence[int], size: int, overlap: int, cap: int, guard: str) -> list[Sequence[int]]:
    """Slices of `ids` of at most `size` tokens, neighbours sharing at least `overlap`. No tokens, no windows."""
    if not 0 <= overlap < size or cap < 1:
        raise ValueError(f"overlap is {overlap} and cap is {cap}, expected 0 <= overlap < {size} and cap >= 1")
    count = window_count(len(ids), size, overlap)
    if count > cap:
        raise GuardError(guard, ErrorKind.TOO_LONG, f"the text needs {count} windows, the cap is {cap}")
    last = max(len(ids) - size, 0)
    starts = [min(i * (size - overlap), last) for i in range(count)]
    return [ids[start : start + size] for start in starts]


def window_count(tokens: int, size: int, overlap: int) -> int:
    """1 if all tokens fit, else ⌈(N − overlap) / (size − overlap)⌉."""
    if tokens <= size:
        return 1 if tokens else 0
    return -((overlap - tokens) // (size - overlap))
