"""Typed values out of strictly parsed YAML, with every problem at its place.

A reader takes a node and gives a value, or None after it has reported what is wrong. A Section is a mapping whose keys
are all known: an unknown key is a problem with the nearest name, and a key of a later version is refused by that
name, never ignored. Reading goes on after a problem, so that the author sees all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, TypeAlias, TypeVar

from policies.errors import Place, Problems, did_you_mean
from policies.yaml_strict import Broken, Entry, Listing, Node, Scalar, Table

T = TypeVar("T")
Reader: TypeAlias = Callable[[Node, str, Problems], T | None]
"""(node, name of the field for the message, problems) -> value, or None after a problem was added."""

MOST_NAMED = 100
"""Of the names that may stand in a place, when one that may not is told."""
NO_TEXTS: tuple[str, ...] = ()
SIZE_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
DURATION_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")


def not_available(feature: str) -> str:
    return f"`{feature}` is not available in this version of Gatehouse"


def described(node: Node) -> str:
    """What was found, in the words of a message. Long text is not repeated."""
    if isinstance(node, Listing):
        return "a list"
    if isinstance(node, Table):
        return "a mapping"
    if isinstance(node, Broken) or node.value in (None, ""):
        return "empty"
    return f"`{node.text}`" if len(node.text) <= 40 and node.text.isprintable() else "a long text"


def _wrong(node: Node, what: str, expected: str, problems: Problems, hint: str = "") -> None:
    """Adds the problem, unless the node is one that was already reported."""
    if not isinstance(node, Broken):
        problems.add(node.place, f"{what} is {described(node)}, expected {expected}", hint)


def text(node: Node, what: str, problems: Problems) -> str | None:
    """Any text that is not empty."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
        return node.value
    quotable = isinstance(node, Scalar) and node.value not in (None, "")
    _wrong(node, what, "text", problems, "put it in quotes" if quotable else "")
    return None


def matching(pattern: str, expected: str) -> Reader[str]:
    """Text of a given form, such as a name."""

    def read(node: Node, what: str, problems: Problems) -> str | None:
        if isinstance(node, Scalar) and isinstance(node.value, str) and re.fullmatch(pattern, node.value):
            return node.value
        _wrong(node, what, expected, problems)
        return None

    return read


site_name: Final = matching(r"[A-Za-z0-9_.\-]{1,64}", "1 to 64 letters, digits and `_ . -`")
"""What a site calls its keys, tenants, engines, anchors and people."""


def boolean(node: Node, what: str, problems: Problems) -> bool | None:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    _wrong(node, what, "`true` or `false`", problems)
    return None


def integer(least: int, most: int) -> Reader[int]:
    """A whole number inside its bounds."""

    def read(node: Node, what: str, problems: Problems) -> int | None:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        _wrong(node, what, f"a whole number {least} to {most}", problems)
        return None

    return read


def number(least: int | Decimal, most: int | Decimal) -> Reader[Decimal]:
    """A number inside its bounds, exact."""

    def read(node: Node, what: str, problems: Problems) -> Decimal | None:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int | Decimal) and not isinstance(value, bool) and least <= value <= most:
            return Decimal(value)
        _wrong(node, what, f"a number {least} to {most}", problems)
        return None

    return read


def ppm(node: Node, what: str, problems: Problems) -> int | None:
    """A probability 0 to 1 with at most six decimals, as parts per million."""
    value = number(0, 1)(node, what, problems)
    if value is None:
        return None
    scaled = value * 1_000_000
    if scaled != scaled.to_integral_value():
        _wrong(node, what, "at most 6 decimals", problems)
        return None
    return int(scaled)


def _quantity(pattern: re.Pattern[str], units: dict[str, int], expected: str, least: int, most: int) -> Reader[int]:
    def read(node: Node, what: str, problems: Problems) -> int | None:
        found = pattern.fullmatch(node.value) if isinstance(node, Scalar) and isinstance(node.value, str) else None
        if found and least <= int(found[1]) * units[found[2]] <= most:
            return int(found[1]) * units[found[2]]
        _wrong(node, what, expected, problems)
        return None

    return read


def duration_ms(least_ms: int = 1, most_ms: int = 24 * 3_600_000) -> Reader[int]:
    """`400ms`, `2s`, `15m`, `1h`: milliseconds."""
    expected = f"a duration such as `400ms` or `2s`, {least_ms}ms to {most_ms}ms"
    return _quantity(_DURATION, DURATION_UNITS, expected, least_ms, most_ms)


def size_bytes(least: int = 1, most: int = 1024**4) -> Reader[int]:
    """`512B`, `64KiB`, `2MiB`, `1GiB`: bytes."""
    expected = f"a size such as `64KiB` or `2MiB`, {least}B to {most}B"
    return _quantity(_SIZE, SIZE_UNITS, expected, least, most)


def choice(known: Iterable[str], unavailable: Iterable[str] = ()) -> Reader[str]:
    """One of some names; those of a later version are refused as such."""
    names, later = tuple(known), frozenset(unavailable)
    among = frozenset(names)

    def read(node: Node, what: str, problems: Problems) -> str | None:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str) and value in among:
            return value
        if isinstance(value, str) and value in later:
            problems.add(node.place, not_available(value))
            return None
        expected = ("one of " if len(names) > 1 else "") + ", ".join(f"`{name}`" for name in names[:MOST_NAMED])
        expected += f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        _wrong(node, what, expected, problems, did_you_mean(value, names) if isinstance(value, str) else "")
        return None

    return read


def list_of(reader: Reader[T], least: int = 0, may_repeat: bool = False) -> Reader[tuple[T, ...]]:
    """A list whose items all pass `reader`. Repeats are a problem unless the order says something."""

    def read(node: Node, what: str, problems: Problems) -> tuple[T, ...] | None:
        if not isinstance(node, Listing):
            _wrong(node, what, "a list", problems)
            return None
        if len(node.items) < least:
            problems.add(node.place, f"{what} is an empty list, expected at least {least} in it")
            return None
        values: list[T] = []
        seen: set[T] = set()
        before = len(problems)
        for item in node.items:
            value = reader(item, f"item of {what}", problems)
            if value is None:
                continue
            if value in seen and not may_repeat:
                problems.add(item.place, f"item of {what} is here twice")
            seen.add(value)
            values.append(value)
        return tuple(values) if len(problems) == before else None

    return read


def one_or_more(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list, or one item without brackets."""

    def read(node: Node, what: str, problems: Problems) -> tuple[T, ...] | None:
        if isinstance(node, Listing | Table):
            return list_of(reader, least=1)(node, what, problems)
        value = reader(node, what, problems)
        return None if value is None else (value,)

    return read


def table(node: Node, what: str, problems: Problems) -> Table | None:
    """A mapping whose keys are names of the author's choice."""
    if isinstance(node, Table):
        return node
    _wrong(node, what, "a mapping", problems)
    return None


class Section:
    """A mapping with known keys."""

    def __init__(self, node: Table, what: str, problems: Problems, entries: dict[str, Entry]) -> None:
        self.place, self.what, self.problems = node.place, what, problems
        self._entries = entries

    @classmethod
    def open(
        cls, node: Node, what: str, problems: Problems, known: Iterable[str], unavailable: Iterable[str] = ()
    ) -> Section | None:
        """None when the node is no mapping. Unknown keys are reported here, and only here."""
        found = table(node, what, problems)
        if found is None:
            return None
        names, later = tuple(known), frozenset(unavailable)
        entries: dict[str, Entry] = {}
        for entry in found.entries:
            if entry.key in names:
                entries[entry.key] = entry
            elif entry.key in later:
                problems.add(entry.place, not_available(entry.key))
            else:
                hint = did_you_mean(entry.key, names)
                problems.add(entry.place, f"unknown key `{entry.key[:40]}` in {what}", hint)
        return cls(found, what, problems, entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def node(self, key: str) -> Node | None:
        return self._entries[key].value if key in self._entries else None

    def place_of(self, key: str) -> Place:
        """Where the key is, or where the section starts if it is not there."""
        return self._entries[key].place if key in self._entries else self.place

    def get(self, key: str, reader: Reader[T], default: T) -> T:
        """The value, or the default when the key is absent or wrong; wrong is reported."""
        if key not in self._entries:
            return default
        value = reader(self._entries[key].value, f"`{key}`", self.problems)
        return default if value is None else value

    def require(self, key: str, reader: Reader[T], stand_in: T) -> T:
        """The value; `stand_in` after a problem, so that the reading can go on."""
        if key not in self._entries:
            self.problems.add(self.place, f"{self.what} has no `{key}`")
        return self.get(key, reader, stand_in)
