"""Which beginnings of texts have their keys and values in memory: a tree of blocks.

A block's keys and values depend on its own tokens and on everything before them, so a block is known by its parent
and its tokens, compared token by token: no hash, no collision. A running sequence holds the blocks on its path; those
that nobody holds stay until room is needed, then the one unused for longest goes, descendants always before their
ancestors. A salt gives callers who must not learn from each other's timing a tree of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from engine.errors import EngineError

LOOKED_AT = 16
"""Blocks that are compared, newest first, when one that begins like the text is looked for."""


@dataclass(slots=True, eq=False)
class Node:
    """One block of tokens behind its parent. The root of a tree has no block."""

    tokens: tuple[int, ...] = field(repr=False)
    block: int
    parent: Node | None = field(repr=False)
    holders: int = 0
    children: dict[int, dict[tuple[int, ...], Node]] = field(default_factory=dict, repr=False)
    """By first token, then by all tokens."""


@dataclass(frozen=True, slots=True)
class Match:
    """The longest known beginning of a text: whole blocks, and maybe the first `count` tokens of one more."""

    path: tuple[Node, ...]
    tail: Node | None = None
    count: int = 0


class PrefixTree:
    """Owned by one model's lane."""

    def __init__(self, block_size: int) -> None:
        self._size = block_size
        self._roots: dict[str, Node] = {}
        self._salts: dict[int, str] = {}
        self._unheld: OrderedDict[int, Node] = OrderedDict()

    @property
    def unheld(self) -> int:
        """Blocks that could be given up now."""
        return len(self._unheld)

    def root(self, salt: str) -> Node:
        if salt not in self._roots:
            root = self._roots[salt] = Node((), -1, None)
            self._salts[id(root)] = salt
        return self._roots[salt]

    def match(self, salt: str, ids: Sequence[int], limit: int) -> Match:
        """Never more than the first `limit` tokens."""
        if salt not in self._roots:
            return Match(())
        node, path, at = self._roots[salt], [], 0
        while at + self._size <= limit:
            tokens = tuple(ids[at : at + self._size])
            child = node.children.get(tokens[0], {}).get(tokens)
            if child is None:
                break
            path.append(child)
            node, at = child, at + self._size
        rest = tuple(ids[at : min(limit, at + self._size)])
        tail, count = _most_alike(node, rest)
        return Match(tuple(path), tail, count)

    def insert(self, parent: Node, tokens: tuple[int, ...], block: int) -> Node:
        """The node for these tokens: a new one with this block, or the one that is there, with its own."""
        alike = parent.children.setdefault(tokens[0], {})
        if tokens not in alike:
            alike[tokens] = node = Node(tokens, block, parent)
            self._unheld[id(node)] = node
        return alike[tokens]

    def knows(self, parent: Node, tokens: tuple[int, ...]) -> bool:
        """Whether some block behind `parent` begins with these tokens."""
        return _most_alike(parent, tokens)[1] == len(tokens)

    def hold(self, node: Node) -> None:
        self._unheld.pop(id(node), None)
        node.holders += 1

    def let_go(self, node: Node) -> None:
        """Call for descendants before ancestors: the order of these calls is the order of eviction."""
        if node.holders < 1:
            raise EngineError("a block was let go that nobody holds")
        node.holders -= 1
        if not node.holders:
            self._unheld[id(node)] = node

    def evict(self) -> int:
        """Forget what was unused for longest; its block."""
        _, node = self._unheld.popitem(last=False)
        if node.children or node.parent is None:
            raise EngineError("a block is evicted that others build on")
        alike = node.parent.children[node.tokens[0]]
        del alike[node.tokens]
        if not alike:
            del node.parent.children[node.tokens[0]]
        self._forget_empty_roots(node.parent)
        return node.block

    def _forget_empty_roots(self, parent: Node) -> None:
        """A caller may invent salts without end; an empty tree is not worth remembering."""
        if parent.parent is None and not parent.children and not parent.holders:
            del self._roots[self._salts.pop(id(parent))]


def _most_alike(node: Node, rest: tuple[int, ...]) -> tuple[Node | None, int]:
    """The child that shares most tokens with `rest`, and how many."""
    if not rest:
        return None, 0
    candidates = islice(reversed(node.children.get(rest[0], {}).values()), LOOKED_AT)
    best, count = None, 0
    for child in candidates:
        if (shared := shared_length(child.tokens, rest)) > count:
            best, count = child, shared
    return best, count


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens at the beginning that both have."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return at
    return min(len(one), len(other))
