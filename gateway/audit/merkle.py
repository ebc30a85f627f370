"""RFC 6962 Merkle tree over the log's lines, built one leaf at a time, and what its two kinds of proof consist of.

Only the roots of the complete subtrees are kept, so a log of a billion records needs some thirty hashes.
Hashes are taken over stored bytes, never over an object that was encoded again. Which subtrees make up a proof is said
here as ranges of leaves; where their hashes come from (the records, or tiles) is the caller's matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

Span = tuple[int, int]
"""Leaves [start, end)."""

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(line: bytes) -> bytes:
    return sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """The compact form of a growing tree. Owned by one thread."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def of(cls, size: int, peaks: Sequence[bytes]) -> Tree:
        """The tree of that size with these complete subtrees. ValueError if it has not so many."""
        if len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(peaks)}")
        tree = cls()
        tree.size, tree._peaks = size, list(peaks)
        return tree

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, the largest first."""
        return tuple(self._peaks)

    def push(self, leaf: bytes) -> None:
        """Append a leaf hash."""
        size, peaks = self.size, self._peaks
        self.size = size + 1
        while size & 1:
            leaf = sha256(b"\x01" + peaks.pop() + leaf).digest()
            size >>= 1
        peaks.append(leaf)

    def extend(self, leaves: list[bytes]) -> None:
        """Append many: the same tree as by `push`, level by level, which is twice as fast."""
        size, level, kept = self.size, leaves, list[bytes]()
        self.size = size + len(leaves)
        while level:
            if size & 1:
                level = [self._peaks.pop(), *level]
            if len(level) & 1:
                kept.append(level[-1])
            pairs = iter(level)
            level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
            size >>= 1
        self._peaks.extend(reversed(kept))

    def root(self) -> bytes:
        """Hash of the whole tree at its present size."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def split(start: int, end: int) -> int:
    """Where a subtree of more than one leaf is divided: the left part holds the largest power of two below its size."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def neighbours(index: int, size: int) -> list[Span]:
    """The subtrees beside the way from a leaf to the root, from the leaf upwards (RFC 6962, 2.1.1)."""
    found: list[Span] = []
    start, end = 0, size
    while end - start > 1:
        middle = split(start, end)
        found.append((middle, end) if index < middle else (start, middle))
        start, end = (start, middle) if index < middle else (middle, end)
    return found[::-1]


def between(old: int, new: int) -> list[Span]:
    """The subtrees that show a tree of `old` leaves to be the beginning of one of `new` leaves (RFC 6962, 2.1.2)."""
    if not 0 < old < new:
        return []
    found: list[Span] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = split(start, end)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, whole = middle, False
    # The old tree itself, where it is a subtree of the new one, is what the checker holds already.
    return [*([] if whole else [(start, end)]), *found[::-1]]


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of `new` leaves begins with the one of `old` leaves (RFC 9162, 2.1.4.2)."""
    if old == 0 or old >= new:
        return not proof and (old_root == EMPTY_ROOT if old == 0 else (old, old_root) == (new, new_root))
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    if not path:
        return False
    was = now = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            was, now = node_hash(other, was), node_hash(other, now)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            now = node_hash(now, other)
        first, last = first >> 1, last >> 1
    return last == 0 and was == old_root and now == new_root
