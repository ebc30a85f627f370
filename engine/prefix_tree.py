"""Which beginnings of texts have their keys and values in memory: a tree of rows of blocks.

A row's keys and values depend on its own tokens and on everything before them, so a row is known by its parent
and its tokens, compared token by token: no hash, no collision. A running sequence holds the rows on its path; those
that nobody holds stay until room is needed, then what was unused for longest goes, descendants always before their
ancestors. What chunked layers have of a row is held and forgotten apart: a text that has passed a border needs it no
more, and goes on needing the rest. A salt gives callers who must not learn from each other's timing a tree of their
own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from engine.errors import EngineError

Blocks: TypeAlias = tuple[int, ...]
LOOKED_AT = 16
"""Rows that are compared, newest first, when one that begins like the text is looked for."""


@dataclass(slots=True, eq=False)
class Node:
    """One row of tokens behind its parent. The root of a tree has no blocks."""

    tokens: tuple[int, ...] = field(repr=False)
    full: tuple[int, ...]
    """Its blocks of full layers."""
    chunked: tuple[int, ...] | None
    """Its blocks of chunked layers; None: forgotten. Empty for a model without such layers."""
    parent: Node | None = field(repr=False)
    holders: int = 0
    chunked_holders: int = 0
    children: dict[int, dict[tuple[int, ...], Node]] = field(default_factory=dict, repr=False)
    """By first token, then by all tokens."""


@dataclass(frozen=True, slots=True)
class Match:
    """The longest known beginning of a text: whole rows, and maybe the first `count` tokens of one more."""

    path: tuple[Node, ...]
    tail: Node | None = None
    count: int = 0


class PrefixTree:
    """Owned by one model's lane."""

    def __init__(self, block_size: int, grain: int = 1) -> None:
        """`grain`: positions that were computed in one piece, and are the same to the last bit only all together."""
        self._size, self._grain = block_size, grain
        self._roots: dict[str, Node] = {}
        self._salts: dict[int, str] = {}
        self._unheld: OrderedDict[tuple[int, bool], Node] = OrderedDict()
        """What could be given up, by node and whether it is its chunked part."""
        self.unheld = 0
        """Blocks that could be given up now."""

    @property
    def is_all_held(self) -> bool:
        """Whether there is nothing to forget."""
        return not self._unheld

    def root(self, salt: str) -> Node:
        if salt not in self._roots:
            root = self._roots[salt] = Node((), (), (), None)
            self._salts[id(root)] = salt
        return self._roots[salt]

    def row(self, ids: Sequence[int], at: int) -> tuple[int, ...]:
        """What the row that begins at `at` is known by: its tokens, and those that follow in the same grain.

        Where experts are routed to, a row's last bits depend on the tokens that were computed beside it.
        """
        return tuple(ids[at : max(at + self._size, (at // self._grain + 1) * self._grain)])

    def match(self, salt: str, ids: Sequence[int], limit: int) -> Match:
        """Never more than the first `limit` tokens."""
        if salt not in self._roots:
            return Match(())
        node, path, at = self._roots[salt], [], 0
        while at + self._size <= limit:
            tokens = self.row(ids, at)
            child = node.children.get(tokens[0], {}).get(tokens)
            if child is None:
                break
            path.append(child)
            node, at = child, at + self._size
        rest = tuple(ids[at : min(limit, at + self._size)])
        tail, count = _most_alike(node, rest)
        return Match(tuple(path), tail, count)

    def insert(self, parent: Node, tokens: tuple[int, ...], full: Blocks, chunked: Blocks | None) -> Node:
        """The node for these tokens: a new one with these blocks, or the one that is there, with its own.

        One that has lost its chunked part takes the one that is offered.
        """
        alike = parent.children.setdefault(tokens[0], {})
        if tokens not in alike:
            alike[tokens] = node = Node(tokens, full, None, parent)
            self._spare(node, False, full)
        node = alike[tokens]
        if node.chunked is None and chunked is not None:
            node.chunked = chunked
            if chunked:
                self._spare(node, True, chunked)
        return node

    def knows(self, parent: Node, tokens: tuple[int, ...]) -> bool:
        """Whether some block behind `parent` begins with these tokens."""
        return _most_alike(parent, tokens)[1] == len(tokens)

    def hold(self, node: Node) -> None:
        self._keep(node, False)
        node.holders += 1

    def hold_chunked(self, node: Node) -> None:
        """Only by who holds the node."""
        self._keep(node, True)
        node.chunked_holders += 1

    def let_go(self, node: Node) -> None:
        """Call for descendants before ancestors: the order of these calls is the order of eviction."""
        if node.holders < 1:
            raise EngineError("a block was let go that nobody holds")
        node.holders -= 1
        if not node.holders:
            self._spare(node, False, node.full)

    def let_go_chunked(self, node: Node) -> None:
        """Before the node itself is let go."""
        if node.chunked_holders < 1 or node.chunked is None:
            raise EngineError("a block was let go that nobody holds")
        node.chunked_holders -= 1
        if not node.chunked_holders:
            self._spare(node, True, node.chunked)

    def evict(self) -> Blocks:
        """Forget what was unused for longest; its blocks."""
        (_, is_chunked), node = self._unheld.popitem(last=False)
        chunked = node.chunked or ()
        if is_chunked:
            self.unheld -= len(chunked)
            node.chunked = None
            return chunked
        self.unheld -= len(node.full)
        if node.children or node.parent is None:
            raise EngineError("a block is evicted that others build on")
        self._keep(node, True)
        alike = node.parent.children[node.tokens[0]]
        del alike[node.tokens]
        if not alike:
            del node.parent.children[node.tokens[0]]
        self.forget_if_empty(node.parent)
        return (*node.full, *chunked)

    def _spare(self, node: Node, is_chunked: bool, blocks: Blocks) -> None:
        self._unheld[id(node), is_chunked] = node
        self.unheld += len(blocks)

    def _keep(self, node: Node, is_chunked: bool) -> None:
        if self._unheld.pop((id(node), is_chunked), None) is not None:
            self.unheld -= len((node.chunked or ()) if is_chunked else node.full)

    def forget_if_empty(self, parent: Node) -> None:
        """A caller may invent salts without end; an empty tree is not worth remembering."""
        if id(parent) in self._salts and not parent.children and not parent.holders:
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
