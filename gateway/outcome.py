"""What came of one test of a policy, and how that differs from what its author expects.

It is read from the records that the exchange left, as whoever reads the log would. Differences name keys, rules and
codes, and never the texts of a case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.entries import Record
from gateway.jsonstrict import Json
from policies.cases import Expect
from policies.model import Action


@dataclass(slots=True)
class Outcome:
    """What came of one case."""

    action: Action = Action.ALLOW
    rules: set[str] = field(default_factory=set)
    """Those that determined the action, over request and answer."""
    code: str | None = None
    status: int = 200
    upstream_calls: int = 0
    shadow: set[str] = field(default_factory=set)
    flags: set[str] = field(default_factory=set)
    annotations: set[str] = field(default_factory=set)
    template: str | None = None
    route: str | None = None
    state: str | None = None
    because: str | None = None
    audit: str = "none"
    """Whether the text of the exchange was kept: `none` or `sealed`."""
    audit_holds: Sequence[Json] = field(default=(), repr=False)
    """Records, and what is kept beside them."""
    client_saw: str = field(default="", repr=False)
    upstream_saw: Sequence[Json] = field(default=(), repr=False)

    def sum_up(self, records: Iterable[Record]) -> None:
        """Add what the decisions in these records amount to."""
        for record in records:
            decision = record.get("decision")
            if isinstance(decision, dict):
                self._add(decision)

    def _add(self, decision: Mapping[str, Json]) -> None:
        action, rules = Action[str(decision["action"]).upper()], decision["rules"]
        assert isinstance(rules, list)
        if action > self.action:
            self.rules.clear()
        if action >= self.action:
            self.action = action
            self.rules.update(map(str, rules))
        shadow = decision["shadow"]
        assert isinstance(shadow, list)
        self.shadow.update(str(note["rule"]) for note in shadow if isinstance(note, dict))
        self.flags.update(_each(decision.get("flags"), "queue"))
        self.annotations.update(_each(decision.get("annotations"), "field"))
        template, route = decision.get("template"), decision.get("route")
        self.template = template if isinstance(template, str) else self.template
        self.route = route if isinstance(route, str) else self.route


def _each(rows: Json, key: str) -> list[str]:
    return [str(row[key]) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def differences(expect: Expect, outcome: Outcome) -> tuple[str, ...]:
    """One line for each thing that is not as expected."""
    lines = [f"`{key}` is `{got}`, expected `{wanted}`" for key, got, wanted in _compared(expect, outcome)]
    if expect.rule and expect.rule not in outcome.rules:
        lines.append(f"`{expect.rule}` is not among the deciding rules: `{_listed(outcome.rules)}`")
    client, audit, upstream = outcome.client_saw, outcome.audit_holds, outcome.upstream_saw
    lines += [f"the client saw {item}" for item in _items(expect, "client_never_sees", client, are_in=True)]
    lines += [f"the audit holds {item}" for item in _items(expect, "audit_never_holds", audit, are_in=True)]
    lines += [f"the client did not see {item}" for item in _items(expect, "client_sees", client, are_in=False)]
    lines += [f"the upstream did not see {item}" for item in _items(expect, "upstream_sees", upstream, are_in=False)]
    return tuple(lines)


def _compared(expect: Expect, outcome: Outcome) -> Iterator[tuple[str, object, object]]:
    """(key, what came, what was expected) where an expectation is not met."""
    yield from _unlike("action", outcome.action.name.lower(), expect.action)
    yield from _unlike("code", outcome.code, expect.code or None)
    yield from _unlike("status", outcome.status, expect.status or None)
    for key in ("rules", "shadow", "flags", "annotations"):
        wanted = getattr(expect, key)
        yield from _unlike(key, _listed(getattr(outcome, key)), None if wanted is None else _listed(wanted))
    for key in ("template", "route", "state", "because", "audit"):
        yield from _unlike(key, getattr(outcome, key) or "none", getattr(expect, key))
    yield from _unlike("upstream_calls", outcome.upstream_calls, expect.upstream_calls)


def _unlike(key: str, got: object, wanted: object) -> Iterator[tuple[str, object, object]]:
    """Nothing is expected where `wanted` is None."""
    if wanted is not None and got != wanted:
        yield key, got, wanted


def _items(expect: Expect, key: str, text: Json | Sequence[Json], *, are_in: bool) -> list[str]:
    """Those texts of a case, by number, that are in this JSON, or are not."""
    wanted: Sequence[str] = getattr(expect, key)
    return [f"item {number} of `{key}`" for number, one in enumerate(wanted, 1) if _is_in(one, text) is are_in]


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _is_in(text: str, value: Json | Sequence[Json]) -> bool:
    """Whether some text in this JSON has it."""
    if isinstance(value, str):
        return text in value
    if isinstance(value, dict):
        return any(_is_in(text, one) for one in value.values())
    return isinstance(value, list | tuple) and any(_is_in(text, one) for one in value)
