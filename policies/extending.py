"""`extends`: a policy that stands on another one, pinned by digest, and may only be stricter than it.

The parent lies beside the policy as NAME.yaml and has to be the one that is pinned: `NAME@sha256:…`, as
`gatehouse policy check` shows it. What the parent says holds; the policy adds to it, or says the same detector, rule,
template, limit or default anew. The whole is then compared with each parent by policies/diff.py: whatever is weaker is
a problem, unless a rule `relaxes` one that the parent names under `may_relax`, or a scope is covered that is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guards.verdict import Scope
from policies.changes import Change, Effect
from policies.diff import diff
from policies.errors import Place, PolicyErrors, Problems
from policies.fields import NO_TEXTS, Section, choice, list_of, matching
from policies.model import Policy
from policies.yaml_strict import MAX_BYTES, Entry, Listing, Node, Scalar, Table

MOST_LEVELS: Final = 4
MOST_TOLD: Final = 20
PINNED: Final = r"[a-z][a-z0-9-]{0,63}@sha256:[0-9a-f]{64}"
_BY_KEY: Final = ("detectors", "templates")
_pins: Final = list_of(matching(PINNED, "`NAME@sha256:` and 64 hex digits, as `gatehouse policy check` shows them"), 1)


@dataclass(frozen=True, slots=True)
class Parent:
    """A policy that another one stands on."""

    policy: Policy
    tree: Table
    place: Place
    """Where the other one names it."""


Load = Callable[[Path], tuple[Policy, Node]]


def read_file(path: Path) -> bytes:
    """A policy file, as far as it is read at all."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def extended(top: Node, file: str, problems: Problems, load: Load, level: int) -> tuple[Node, tuple[Parent, ...]]:
    """The policy's tree with what it extends in it, and the parents."""
    listed = (
        next((entry.value for entry in top.entries if entry.key == "extends"), None) if isinstance(top, Table) else None
    )
    if listed is None or not isinstance(top, Table):
        return top, ()
    pins = _pins(listed, "`extends`", problems)
    if pins is None or not isinstance(listed, Listing):
        return top, ()
    if level >= MOST_LEVELS:
        problems.add(listed.place, f"`extends` goes over more than {MOST_LEVELS} levels")
        return top, ()
    found = (_parent(pin, item.place, file, problems, load) for pin, item in zip(pins, listed.items, strict=True))
    parents = tuple(parent for parent in found if parent is not None)
    return merged(top, [parent.tree for parent in parents], problems), parents


def _parent(pin: str, place: Place, file: str, problems: Problems, load: Load) -> Parent | None:
    name, _, digest = pin.partition("@")
    path = Path(file).parent / f"{name}.yaml"
    try:
        policy, tree = load(path)
    except OSError as exc:
        problems.add(place, f"parent `{name}` cannot be read: {(exc.strerror or 'unreadable').lower()}")
        return None
    except PolicyErrors as exc:
        first = exc.problems[0]
        problems.add(place, f"parent `{name}` has {exc.count} problems, the first in line {first.place.line}")
        return None
    if (policy.name, policy.digest) != (name, digest):
        problems.add(place, f"parent `{name}` is not the one that is pinned", f"it is `{policy.name}@{policy.digest}`")
        return None
    return Parent(policy, tree, place) if isinstance(tree, Table) else None


# --- one tree of several ---


def merged(own: Table, parents: Iterable[Table], problems: Problems) -> Table:
    """The tree that is compiled. What is said in `own` stands; of two parents neither is the stronger one."""
    others = list(parents)
    entries = {entry.key: entry for entry in own.entries}
    for key in ("defaults", *_BY_KEY, "claims", "rules"):
        mine = entries.get(key)
        found = [entry for other in others for entry in other.entries if entry.key == key]
        if key == "defaults":
            value: Node | None = _without_idle_risk(mine, _tables(mine, found, problems, depth=2))
        elif key in _BY_KEY:
            value = _tables(mine, found, problems, depth=1)
        else:
            value = _lists(mine, found, "id" if key == "rules" else "", problems)
        first = mine or (found[0] if found else None)
        if value is not None and first is not None:
            entries[key] = Entry(key, first.place, value)
    return Table(own.place, tuple(entries.values()))


def _without_idle_risk(own: Entry | None, merged: Node | None) -> Node | None:
    """What a parent had open and the policy closes needs nobody to accept it any more."""
    if not isinstance(merged, Table) or any(
        entry.key == "accept_risk" for entry in (_entries(own.value) if own else ())
    ):
        return merged
    said = {entry.key: entry.value.text for entry in merged.entries if isinstance(entry.value, Scalar)}
    if said.get("on_error") == "open" or said.get("uncovered") == "allow":
        return merged
    return Table(merged.place, tuple(entry for entry in merged.entries if entry.key != "accept_risk"))


def _tables(own: Entry | None, parents: list[Entry], problems: Problems, depth: int) -> Node | None:
    """By key; at more depth, tables under one key are put together in the same way, but for `stream`."""
    if own is not None and not isinstance(own.value, Table):
        return own.value
    entries: dict[str, Entry] = {entry.key: entry for entry in _entries(own.value)} if own else {}
    for name in sorted({entry.key for parent in parents for entry in _entries(parent.value)}):
        found = [entry for parent in parents for entry in _entries(parent.value) if entry.key == name]
        mine = entries.get(name)
        if mine is None:
            _refuse_two(name, [entry.value for entry in found], found[-1].place, problems)
            entries[name] = found[0]
        elif depth > 1 and name == "limits" and isinstance(mine.value, Table):
            value = _tables(mine, found, problems, depth - 1)
            entries[name] = Entry(name, mine.place, value or mine.value)
    if own is None and not parents:
        return None
    return Table(own.value.place if own else parents[0].value.place, tuple(entries.values()))


def _lists(own: Entry | None, parents: list[Entry], key: str, problems: Problems) -> Node | None:
    """Items of all; one that `own` names again is said anew there."""
    if own is not None and not isinstance(own.value, Listing):
        return own.value
    mine = list(own.value.items) if own and isinstance(own.value, Listing) else []
    names = {_name(item, key) for item in mine}
    inherited: dict[str, Node] = {}
    for parent in parents:
        for item in parent.value.items if isinstance(parent.value, Listing) else ():
            name = _name(item, key)
            if name in inherited:
                _refuse_two(name, [inherited[name], item], item.place, problems)
            elif name not in names:
                inherited[name] = item
    if own is None and not parents:
        return None
    return Listing(own.value.place if own else parents[0].value.place, (*inherited.values(), *mine))


def _entries(node: Node) -> tuple[Entry, ...]:
    return node.entries if isinstance(node, Table) else ()


def _name(item: Node, key: str) -> str:
    node = next((entry.value for entry in _entries(item) if entry.key == key), None) if key else item
    return node.text if isinstance(node, Scalar) else ""


def _refuse_two(name: str, nodes: list[Node], place: Place, problems: Problems) -> None:
    if len({_said(node) for node in nodes}) > 1:
        problems.add(place, f"two parents say `{name[:40]}` differently", "say it in the policy itself")


def _said(node: Node) -> str:
    """What it says, wherever it stands."""
    if isinstance(node, Listing):
        return "[" + ",".join(map(_said, node.items)) + "]"
    if isinstance(node, Table):
        return "{" + ",".join(f"{entry.key}:{_said(entry.value)}" for entry in node.entries) + "}"
    return repr(node.value) if isinstance(node, Scalar) else "?"


# --- only stricter ---


def read_may_relax(top: Section, rules: frozenset[str]) -> frozenset[str]:
    """Rules that a policy on top of this one may relax, and scopes that it may cover."""
    return frozenset(top.get("may_relax", list_of(choice((*sorted(rules), *map(str, Scope)))), NO_TEXTS))


def check_tightened(policy: Policy, parents: Iterable[Parent], problems: Problems) -> None:
    """Every weakening that a parent does not permit is a problem, where the policy names that parent."""
    for parent in parents:
        changes = diff(parent.policy, policy).changes
        weaker = [one for one in changes if one.effect is Effect.WEAKER and not _is_permitted(one, parent.policy)]
        for change in weaker[:MOST_TOLD]:
            values = " -> ".join(filter(None, (change.before, change.after)))
            told = f"weaker than `{parent.policy.name}`: {change.subject} `{change.name}` {change.aspect}: {values}"
            problems.add(parent.place, re.sub(r"[\x00-\x1f]+", " ", told)[:400], change.reason)
        inherited = {rule.id for rule in parent.policy.rules} | {str(scope) for scope in Scope}
        for name in sorted((policy.may_relax & inherited) - parent.policy.may_relax):
            told = f"`may_relax` names `{name}`, which `{parent.policy.name}` does not let be relaxed"
            problems.add(parent.place, told)


def _is_permitted(change: Change, parent: Policy) -> bool:
    if change.subject == "rule" and change.aspect == "relaxes":
        return change.after in parent.may_relax or change.after not in {rule.id for rule in parent.rules}
    return change.subject == "scope" and change.name in parent.may_relax
