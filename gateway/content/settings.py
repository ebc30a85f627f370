"""`content` of the configuration: where the master key is, and how long each class of text is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.approval import NEED
from gateway.content.consent import ACTIONS
from policies import fields
from policies.errors import Problems
from policies.fields import Section
from policies.keeping import CLASS_NAME
from policies.yaml_strict import Node, Scalar, Table

_HOURS: Final = {"h": 1, "d": 24, "y": 24 * 366}
"""A year has 366 days: text is never kept for less than the years that a law counts."""
_HOUR_NS: Final = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class ContentSettings:
    """What the store needs to know besides its place."""

    master_key: Path
    classes: Mapping[str, int]
    """Name of a retention class -> how long its text is kept, in nanoseconds."""
    two_people: frozenset[str] = frozenset()
    """What one person must not do alone: `erase`, `release` (of a hold)."""


def read_content(
    node: Node | None, file: Path, state: Path, problems: Problems, approvers: int = 0
) -> ContentSettings | None:
    """None: no text is kept. The key's path is relative to the configuration file; `approvers`: how many there are."""
    section = (
        Section.open(node, "`content`", problems, ("master_key", "classes", "two_people")) if node is not None else None
    )
    if section is None:
        return None
    name = section.require("master_key", fields.text, "")
    path = (file.parent / name).absolute()
    if inner := inside_state(path, state):
        told = f"`master_key` is inside `{inner}`, and would be copied with what it protects"
        problems.add(section.place_of("master_key"), told, "another directory, or another disk")
    two_people = frozenset(section.get("two_people", fields.list_of(fields.choice(ACTIONS)), fields.NO_TEXTS))
    if two_people and approvers < NEED:
        problems.add(section.place_of("two_people"), "`two_people` needs two `approvers`", "gatehouse approver-key")
    return ContentSettings(path, _classes(section, problems), two_people)


def inside_state(path: Path, state: Path) -> str:
    """The directory of what it protects in which a master key would lie; empty if in none."""
    inner = ("audit", "content", "keystore")
    return next((name for name in inner if path.resolve().is_relative_to((state / name).resolve())), "")


def _classes(section: Section, problems: Problems) -> Mapping[str, int]:
    node = section.node("classes")
    if node is None or (isinstance(node, Table) and not node.entries):
        problems.add(section.place_of("classes"), "`content` has no `classes`", "such as `{default: 30d}`")
        return MappingProxyType({})
    return read_classes(node, problems)


def read_classes(node: Node, problems: Problems) -> Mapping[str, int]:
    """Nanoseconds for which text is kept, by class."""
    table = fields.table(node, "`classes`", problems)
    if table is None:
        return MappingProxyType({})
    known: dict[str, int] = {}
    for entry in table.entries:
        key_node = Scalar(entry.place, entry.key, entry.key)
        kept = _duration(entry.value, f"`{entry.key[:40]}`", problems)
        if (
            fields.matching(CLASS_NAME, "a name of small letters, digits and `-`")(key_node, "a class", problems)
            and kept
        ):
            known[entry.key] = kept
    return MappingProxyType(known)


def _duration(node: Node, what: str, problems: Problems) -> int | None:
    written = fields.matching(r"[1-9][0-9]{0,3}[hdy]", "a time such as `12h`, `30d` or `6y`")(node, what, problems)
    return None if written is None else int(written[:-1]) * _HOURS[written[-1]] * _HOUR_NS
