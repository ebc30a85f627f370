"""YAML without surprises: a file means what it looks like, or it is refused at the character that does not.

PyYAML reads YAML 1.1: the last of two equal keys wins in silence, `no` is false, `012` is ten and `1:30` is ninety.
Here scalars follow the YAML 1.2 core schema, equal keys are a problem, and everything that lets a file say
something other than what a reviewer reads is refused by name: anchors, aliases, merge keys, tags, directives, a second
document, keys that are not text, infinities, and characters that no editor shows. Size and depth are bounded before
anything is built, so that no file costs more than its bytes. Numbers with a fraction become Decimal: no float exists.

The nodes keep their place. `policies/fields.py` turns them into typed values; this file knows nothing of policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

import yaml

from policies.errors import Place, Problems

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NUMBER_LENGTH = 40
MAX_EXPONENT = 30

Value: TypeAlias = str | int | Decimal | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; `text` is how the file spells it."""

    place: Place
    value: Value
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """`[a, b]`, or lines that begin with a dash."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value`; `place` is the key's."""

    key: str
    place: Place
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping whose keys are text and differ."""

    place: Place
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands where a problem was reported, so that nobody reports it twice."""

    place: Place


Node: TypeAlias = Scalar | Listing | Table | Broken

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

# Control characters and surrogates are outside YAML. Bidi controls, zero-width marks and tag characters are inside it,
# and let a line show a reviewer something else than it says; a test that needs one writes it as an escape: "\u202E".
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)

_Loader: TypeAlias = type[yaml.SafeLoader] | type[yaml.CSafeLoader]
FAST: _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where the wheel has it. Only its events are used; both parsers pass the same tests."""


_SURROGATE = re.compile("[\ud800-\udfff]")


class _Stop(Exception):
    """The rest of the file cannot be read; the reason is already among the problems."""


def parse(data: bytes, file: str, problems: Problems, loader: _Loader = FAST) -> Node:
    """The document in `data`; never raises for what is in it, but adds to `problems`."""
    top = Place(file, 1, 1)
    if len(data) > MAX_BYTES:
        problems.add(top, f"file is {len(data)} bytes, expected at most {MAX_BYTES}")
        return Broken(top)
    text = _decoded(data, file, problems)
    if text is None:
        return Broken(top)
    try:
        return _Composer(yaml.parse(text, Loader=loader), file, problems).document()
    except _Stop:
        return Broken(top)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else top
        problems.add(place, f"not YAML: {exc.problem or exc.context or 'unreadable'}")
    except yaml.YAMLError:
        problems.add(top, "not YAML: unreadable character")
    return Broken(top)


def _decoded(data: bytes, file: str, problems: Problems) -> str | None:
    """The text, without a leading byte order mark; None when it is not UTF-8 or hides characters."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        before = data[: exc.start].decode("utf-8")
        problems.add(_place_in(before, file), f"byte 0x{data[exc.start]:02x} is not UTF-8")
        return None
    hidden = _HIDDEN.search(text)
    if hidden is None:
        return text
    code = ord(hidden.group())
    problems.add(
        _place_in(text[: hidden.start()], file),
        f"character U+{code:04X} cannot be seen",
        f'write it as an escape in double quotes: "\\U{code:08X}"',
    )
    return None


def _place_in(before: str, file: str) -> Place:
    """The place that follows `before`."""
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Composer:
    """Events to nodes. Recursion is bounded by MAX_DEPTH, work by the size of the file."""

    def __init__(self, events: Iterator[yaml.Event], file: str, problems: Problems) -> None:
        self._events, self._file, self._problems = events, file, problems

    def document(self) -> Node:
        next(self._events)  # StreamStartEvent
        start = next(self._events)
        if not isinstance(start, yaml.DocumentStartEvent):
            self._problems.add(self._place(start), "file is empty")
            raise _Stop
        if start.version or start.tags:
            self._problems.add(self._place(start), "directives (`%YAML`, `%TAG`) are not accepted")
        node = self._node(next(self._events), 0)
        next(self._events)  # DocumentEndEvent
        after = next(self._events)
        if isinstance(after, yaml.DocumentStartEvent):
            self._problems.add(self._place(after), "a second document starts here, expected one in a file")
        return node

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            self._problems.add(place, f"alias `*{event.anchor}` is not accepted", "write the value out")
            return Broken(place)
        refused = self._decorated(event, place)
        if isinstance(event, yaml.ScalarEvent):
            return Broken(place) if refused else self._scalar(event, place)
        if depth == MAX_DEPTH:
            self._problems.add(place, f"nested more than {MAX_DEPTH} deep")
            raise _Stop
        if isinstance(event, yaml.SequenceStartEvent):
            return Listing(place, tuple(self._items(depth)))
        return Table(place, tuple(self._entries(depth)))

    def _decorated(self, event: yaml.Event, place: Place) -> bool:
        """Whether an anchor or a tag makes the node unusable; the children are read all the same."""
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None:
            self._problems.add(place, f"anchor `&{anchor}` is not accepted", "write the value out where it is used")
        if tag is not None:
            self._problems.add(place, f"tag `{tag}` is not accepted", "quote the value to make it text")
        return anchor is not None or tag is not None

    def _items(self, depth: int) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                return
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> Iterator[Entry]:
        seen: dict[str, Place] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                return
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            name = self._key(key, event, seen)
            if name is not None:
                yield Entry(name, key.place, value)

    def _key(self, key: Node, event: yaml.Event, seen: dict[str, Place]) -> str | None:
        if isinstance(key, Broken):
            return None
        if not isinstance(key, Scalar) or not isinstance(key.value, str):
            found = f"`{key.text[:40]}`" if isinstance(key, Scalar) else "a list or mapping"
            self._problems.add(key.place, f"key is {found}, expected text", "put it in quotes")
            return None
        if key.value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            self._problems.add(key.place, "merge key `<<` is not accepted", "write the keys out")
            return None
        if key.value in seen:
            line = seen[key.value].line
            self._problems.add(key.place, f"key `{key.value[:40]}` is here twice, first in line {line}")
            return None
        seen[key.value] = key.place
        return key.value

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Node:
        text = event.value
        if _SURROGATE.search(text):
            self._problems.add(place, "half of a surrogate pair is no character", 'write it as one escape: "\\U…"')
            return Broken(place)
        if not event.implicit[0]:
            return Scalar(place, text, text)
        if _NOT_FINITE.fullmatch(text):
            self._problems.add(place, f"number is `{text}`, expected a finite one")
            return Broken(place)
        value = _plain(text)
        if value is _TOO_LARGE:
            self._problems.add(place, "number is too long to be meant")
            return Broken(place)
        return Scalar(place, value, text)


_TOO_LARGE = Decimal("Infinity")


def _plain(text: str) -> Value:
    """A plain scalar by the YAML 1.2 core schema; _TOO_LARGE for a number nobody means."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    bases = ((_INT, 10), (_OCTAL, 8), (_HEX, 16))
    base = next((base for pattern, base in bases if pattern.fullmatch(text)), None)
    if base is None and not _FRACTION.fullmatch(text):
        return text
    if len(text) > MAX_NUMBER_LENGTH:
        return _TOO_LARGE
    if base is not None:
        return int(text, base)
    number = Decimal(text)
    return number if abs(number.adjusted()) <= MAX_EXPONENT else _TOO_LARGE
