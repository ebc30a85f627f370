"""Every key of every shipped policy misspelt, left out, given another type, and said twice.

Each of these is refused at its line, or it is another policy: never an exception of another kind, and never the same
policy in silence. The exceptions are listed here: what may be left out because it says the default, and names that are
the author's own. Every fourth key is tried, at the first of equal places, in each policy beginning with
another; `GATEHOUSE_EVERY_KEY=1 pytest tests/policies/test_mistakes.py` tries all that are not of tests one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from policies.errors import Place, PolicyErrors
from policies.load import parse_policy
from policies.model import Policy

LIBRARY = Path(__file__).parents[2] / "policies" / "library"
REHEARSALS = Path(__file__).parents[1] / "gateway" / "rehearsals"
FILES = [*sorted(LIBRARY.glob("*.yaml")), REHEARSALS / "asked.yaml"]
"""The last one for keys that no shipped policy needs."""
NOWHERE = Place("", 0, 0)
EVERY_KEY = bool(os.environ.get("GATEHOUSE_EVERY_KEY"))
MOST_ALIKE = 10_000 if EVERY_KEY else 1
OTHERS = {"number": "5", "list": "[5]", "mapping": "{x: 5}"}
SAYS_THE_DEFAULT = {
    ("defaults",),
    ("defaults", "uncovered"),
    ("defaults", "on_error"),
    ("defaults", "stream"),
    ("defaults", "stream", "max_wait"),
    ("defaults", "audit", "ack"),
    ("defaults", "audit", "progress"),
    *(("defaults", "limits", name) for name in ("body", "depth", "messages", "images", "tools", "n", "output_chars")),
    ("detectors", "categories"),
    ("detectors", "find"),
    ("detectors", "families"),
    ("detectors", "times"),
    ("rules", "mode"),
    ("rules", "stream"),
    ("rules", "do", "review", "quorum"),
    ("rules", "do", "review", "timeout"),
    ("rules", "do", "review", "on_timeout"),
    ("rules", "do", "flag", "severity"),
}
"""May be left out without a change."""
INFORMATIVE = {
    *((name,) for name in ("owner", "regimes", "version", "name", "tests", "eval")),
    *(("eval", name) for name in ("min_recall", "max_fpr")),
}
"""No part of what a policy means."""
OWN_NAMES = ("detectors", "templates")


@dataclass(frozen=True)
class Key:
    """A key of a file: where it and its value stand, and the path to it without numbers."""

    path: tuple[str, ...]
    key: yaml.Node
    value: yaml.Node
    following: yaml.Node | None
    preceding: yaml.Node | None
    in_flow: bool

    @property
    def is_free(self) -> bool:
        """Inside plain JSON, where anything may stand."""
        return any(name in ("tools", "tool_calls") for name in self.path[:-1])

    @property
    def is_own_name(self) -> bool:
        return len(self.path) == 2 and self.path[0] in OWN_NAMES

    @property
    def line(self) -> int:
        return int(self.key.start_mark.line) + 1

    @property
    def lines(self) -> set[int]:
        return {self.line, int(self.value.start_mark.line) + 1}


def keys_of(node: yaml.Node, path: tuple[str, ...] = ()) -> Iterator[Key]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys_of(item, path)
    if isinstance(node, yaml.MappingNode):
        for number, (key, value) in enumerate(node.value):
            following = node.value[number + 1][0] if number + 1 < len(node.value) else None
            preceding = node.value[number - 1][1] if number else None
            inner = (*path, key.value)
            yield Key(inner, key, value, following, preceding, bool(node.flow_style))
            yield from keys_of(value, inner)


def chosen(text: str) -> list[Key]:
    """The first key at each place, or all of what is not of tests."""
    found: dict[tuple[str, ...], list[Key]] = {}
    for key in keys_of(yaml.compose(text)):
        same = found.setdefault(key.path, [])
        if len(same) < (1 if key.path[0] == "tests" else MOST_ALIKE):
            same.append(key)
    return [key for same in found.values() for key in same]


def value_end(text: str, key: Key) -> int:
    """Without the white space and the comments that follow a block."""
    end = int(key.value.end_mark.index)
    if isinstance(key.value, yaml.ScalarNode) and key.value.style not in ("|", ">"):
        return end
    if getattr(key.value, "flow_style", False):
        return end
    while True:
        kept = text[: len(text[:end].rstrip())]
        last = kept.rfind("\n") + 1
        if not kept[last:].lstrip().startswith("#"):
            return len(kept)
        end = last


def misspelt(text: str, key: Key) -> str:
    end = key.key.end_mark.index
    return f"{text[:end]}x{text[end:]}"


def retyped(text: str, key: Key, other: str) -> str:
    return text[: key.value.start_mark.index] + other + text[value_end(text, key) :]


def removed(text: str, key: Key) -> str:
    if key.following is not None:
        return text[: key.key.start_mark.index] + text[key.following.start_mark.index :]
    end = value_end(text, key)
    if key.preceding is None:
        return text[: key.key.start_mark.index] + ("" if key.in_flow else "{}") + text[end:]
    begin = value_end(text, replace(key, value=key.preceding))
    return text[:begin] + text[end:]


def doubled(text: str, key: Key) -> str:
    start = int(key.key.start_mark.index)
    whole = text[start : value_end(text, key)]
    between = ", " if key.in_flow else "\n" + " " * int(key.key.start_mark.column)
    return text[:start] + whole + between + text[start:]


def loaded(text: str) -> Policy | PolicyErrors:
    """Any other exception is a failure."""
    try:
        return parse_policy(text.encode(), str(LIBRARY / "p.yaml"))
    except PolicyErrors as exc:
        return exc


def meaning(policy: Policy) -> tuple[object, ...]:
    """With the tests, wherever they stand."""
    cases = tuple(replace(case, place=NOWHERE) for case in policy.cases)
    return policy.digest, policy.name, policy.version, policy.owner, policy.regimes, cases


class Tried:
    """One shipped policy and what becomes of it."""

    def __init__(self, file: Path) -> None:
        self.text = file.read_text()
        self.original = parse_policy(self.text.encode(), str(LIBRARY / "p.yaml"))
        self.keys = chosen(self.text)
        if not EVERY_KEY:
            self.keys = self.keys[FILES.index(file) % 4 :: 4]
        whole = self.text.index("\ntests:")
        self.rules_only = self.text[:whole] + "\n"
        self.bare = parse_policy(self.rules_only.encode(), str(LIBRARY / "p.yaml"))

    def about(self, key: Key) -> tuple[str, Policy]:
        """Tests are long, and only what is in them needs them."""
        is_test = key.path[0] == "tests" or key.line > self.rules_only.count("\n")
        return (self.text, self.original) if is_test else (self.rules_only, self.bare)


@pytest.fixture(scope="module", params=FILES, ids=lambda file: file.stem)
def tried(request: pytest.FixtureRequest) -> Tried:
    return Tried(request.param)


def test_there_is_something_to_get_wrong(tried: Tried) -> None:
    assert len(tried.keys) > 15


def test_a_misspelt_key_is_refused_at_its_line(tried: Tried) -> None:
    for key in tried.keys:
        text, before = tried.about(key)
        found = loaded(misspelt(text, key))
        if isinstance(found, PolicyErrors):
            right = key.is_own_name or key.line in {one.place.line for one in found.problems}
            assert right, (key.path, key.line, str(found))
        else:
            assert key.is_free, (key.path, key.line)
            assert meaning(found) != meaning(before), (key.path, key.line)


@pytest.mark.parametrize("other", OTHERS)
def test_a_value_of_another_type_is_refused_at_its_line_or_means_something_else(tried: Tried, other: str) -> None:
    for key in tried.keys:
        if key.path == ("tests",):
            continue
        text, before = tried.about(key)
        found = loaded(retyped(text, key, OTHERS[other]))
        if isinstance(found, PolicyErrors):
            right = key.is_own_name or key.lines & {one.place.line for one in found.problems}
            assert right, (key.path, key.line, str(found))
        else:
            assert meaning(found) != meaning(before), (key.path, key.line)
            assert other == "number" or key.is_free or key.path == ("tests", "send", "tools"), (key.path, key.line)


def test_a_key_left_out_is_refused_or_means_something_else_or_said_the_default(tried: Tried) -> None:
    for key in tried.keys:
        text, before = tried.about(key)
        found = loaded(removed(text, key))
        if isinstance(found, PolicyErrors):
            assert all(one.place.line <= text.count("\n") + 1 for one in found.problems)
            continue
        said = key.path[:1] + key.path[2:] if key.path[0] == "detectors" else key.path
        if found.digest == before.digest and key.path[0] != "tests":
            assert said in SAYS_THE_DEFAULT | INFORMATIVE, (key.path, key.line)
        if key.path[0] == "tests" and key.path != ("tests",):
            assert meaning(found) != meaning(before), (key.path, key.line)


def test_a_key_that_is_there_twice_is_refused_at_the_second(tried: Tried) -> None:
    for key in tried.keys:
        text, _ = tried.about(key)
        found = loaded(doubled(text, key))
        assert isinstance(found, PolicyErrors), (key.path, key.line)
        twice = [one for one in found.problems if one.problem.startswith(f"key `{key.key.value[:40]}` is here twice")]
        extra = 0 if key.in_flow else text[key.key.start_mark.index : value_end(text, key)].count("\n") + 1
        assert key.line + extra in {one.place.line for one in twice}, (key.path, key.line, str(found))
