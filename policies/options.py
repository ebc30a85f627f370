"""Options whose meaning belongs to a guard: read as plain values here, judged by the guard's own reader.

So a guard's options have one definition, and a file that uses them still gets every problem with its place. A problem
is reported at the option that the reader names; the rest is then read again without it, until nothing is left to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from guards.errors import GuardSetupError
from policies.fields import Section
from policies.yaml_strict import Broken, Listing, Node, Table

T = TypeVar("T")


def plain(node: Node) -> object:
    """What a YAML reader without places would give. A number with a fraction becomes the nearest float."""
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    if isinstance(node, Table):
        return {entry.key: plain(entry.value) for entry in node.entries}
    if isinstance(node, Broken):
        return None
    return float(node.value) if isinstance(node.value, Decimal) else node.value


def read_options(section: Section, keys: Iterable[str], read: Callable[[Mapping[str, object]], T]) -> T | None:
    """What `read` makes of those of `keys` that the section has; None after a problem, which is then reported."""
    nodes = {key: node for key in keys if (node := section.node(key)) is not None}
    values = {key: plain(node) for key, node in nodes.items() if not _is_broken(node)}
    complete = len(values) == len(nodes)
    reported: set[str] = set()
    while True:
        try:
            found = read(values)
        except GuardSetupError as exc:
            if exc.option not in reported:
                what = f"`{exc.option}`" if exc.option else section.what
                section.problems.add(section.place_of(exc.option), f"{what}: {exc.problem}")
            if exc.option not in values:
                return None
            reported.add(exc.option)
            del values[exc.option]
        else:
            return found if complete and not reported else None


def _is_broken(node: Node) -> bool:
    """Whether a problem with it, or with something in it, is already reported."""
    if isinstance(node, Listing):
        return any(map(_is_broken, node.items))
    if isinstance(node, Table):
        return any(_is_broken(entry.value) for entry in node.entries)
    return isinstance(node, Broken)
