"""A policy beside the text it was read from, so that what is said about it can point at a line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from guards.verdict import Scope
from policies.compare import region
from policies.errors import Place, Problems
from policies.lint_index import Wider
from policies.matchers import Matcher
from policies.model import Action, Mode, Policy, Rule
from policies.site import Site
from policies.vocabulary import GuardFacts
from policies.yaml_strict import Entry, Listing, Node, Scalar, Table, parse


def deed(rule: Rule) -> tuple[Action, str, str]:
    """What comes of it, whatever the client is told."""
    return rule.do.action, rule.do.queue, rule.do.severity


@dataclass(frozen=True)
class Sheet:
    """A loaded policy, its guards, and the places of what it says."""

    policy: Policy
    data: bytes = field(repr=False)
    known: Mapping[str, GuardFacts] = field(repr=False)
    site: Site = field(default_factory=lambda: Site(int(time.time())))

    @cached_property
    def _top(self) -> Node:
        return parse(self.data, self.policy.file, Problems())

    @cached_property
    def _lines(self) -> list[str]:
        return self.data.decode().splitlines()

    @cached_property
    def _rules(self) -> Mapping[str, Table]:
        listed = _value(self._top, "rules")
        tables = [item for item in listed.items if isinstance(item, Table)] if isinstance(listed, Listing) else []
        return {_text(_value(table, "id")): table for table in tables}

    @cached_property
    def regions(self) -> Mapping[str, Matcher]:
        """By rule: when it matches."""
        return {rule.id: region(rule) for rule in self.policy.rules}

    @cached_property
    def by_action(self) -> Wider:
        """The acting rules, to find one that does at least so much wherever another matches."""
        return Wider(self.regions, lambda rule: rule.do.action).file(self.acting())

    @cached_property
    def by_deed(self) -> Wider:
        """The acting rules, to find one that does the same."""
        return Wider(self.regions, deed).file(self.acting())

    def rule(self, rule: Rule, key: str = "id") -> Place:
        """Of a key of the rule, or of the rule."""
        return self.place_of(rule.id, key)

    def place_of(self, id_: str, key: str = "id") -> Place:
        """The same by the rule's id."""
        table = self._rules.get(id_)
        return _place(self._top, "extends") if table is None else _place(table, key)

    def detector(self, name: str, key: str = "use") -> Place:
        """Of a key of the detector, or of the detector."""
        return _place(_value(_value(self._top, "detectors"), name) or self._top, key)

    def says(self, name: str, key: str) -> bool:
        """Whether the detector has this key."""
        return _entry(_value(_value(self._top, "detectors"), name), key) is not None

    def stream(self, key: str) -> Place:
        """Of a key of `defaults.stream`, or of the stream."""
        return _place(_value(_value(self._top, "defaults"), "stream") or self._top, key)

    def rule_says(self, rule: Rule, key: str) -> bool:
        """Whether the rule has this key here; one of a parent says nothing here."""
        return rule.id not in self._rules or _entry(self._rules[rule.id], key) is not None

    def default(self, key: str) -> Place:
        """Of a key of `defaults`, or of the defaults."""
        return _place(_value(self._top, "defaults") or self._top, key)

    def top(self, key: str) -> Place:
        """Of a key of the file."""
        return _place(self._top, key)

    @property
    def start(self) -> Place:
        return Place(self.policy.file, 1, 1)

    def comment(self, place: Place) -> str:
        """What stands behind a `#` in the line."""
        return self._lines[place.line - 1].partition("#")[2]

    def acting(self, scope: Scope | None = None) -> Iterator[Rule]:
        """Rules that do more than allow and act now or from some day on, of one scope or of all."""
        for rule in self.policy.rules:
            is_there = scope is None or scope in rule.scopes
            acts = rule.mode is Mode.ENFORCE or rule.until is not None
            if is_there and acts and rule.do.action is not Action.ALLOW:
                yield rule


def _entry(node: Node | None, key: str) -> Entry | None:
    entries = node.entries if isinstance(node, Table) else ()
    return next((entry for entry in entries if entry.key == key), None)


def _value(node: Node | None, key: str) -> Node | None:
    found = _entry(node, key)
    return found.value if found else None


def _place(node: Node, key: str) -> Place:
    found = _entry(node, key)
    return found.place if found else node.place


def _text(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""
