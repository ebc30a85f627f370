"""What came of one test of a policy, and how that differs from what its author expects.

It is read from the records that the exchange left, as whoever reads the log would. Differences name keys, rules and
codes, and never the texts of a case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    found: list[tuple[str, object, object]] = [("action", outcome.action.name.lower(), expect.action)]
    found += [("code", outcome.code, expect.code)] if expect.code else []
    found += [("status", outcome.status, expect.status)] if expect.status else []
    if expect.rules is not None:
        found.append(("rules", _listed(outcome.rules), _listed(expect.rules)))
    if expect.shadow is not None:
        found.append(("shadow", _listed(outcome.shadow), _listed(expect.shadow)))
    if expect.flags is not None:
        found.append(("flags", _listed(outcome.flags), _listed(expect.flags)))
    if expect.annotations is not None:
        found.append(("annotations", _listed(outcome.annotations), _listed(expect.annotations)))
    for key in ("template", "route", "state", "because", "audit"):
        if (wanted := getattr(expect, key)) is not None:
            found.append((key, getattr(outcome, key) or "none", wanted))
    if expect.upstream_calls is not None:
        found.append(("upstream_calls", outcome.upstream_calls, expect.upstream_calls))
    lines = [f"`{key}` is `{got}`, expected `{wanted}`" for key, got, wanted in found if got != wanted]
    if expect.rule and expect.rule not in outcome.rules:
        lines.append(f"`{expect.rule}` is not among the deciding rules: `{_listed(outcome.rules)}`")
    for number, text in enumerate(expect.client_never_sees, 1):
        lines += [f"the client saw item {number} of `client_never_sees`"] if text in outcome.client_saw else []
    for number, text in enumerate(expect.audit_never_holds, 1):
        is_held = _is_in(text, outcome.audit_holds)
        lines += [f"the audit holds item {number} of `audit_never_holds`"] if is_held else []
    for number, text in enumerate(expect.client_sees, 1):
        lines += [] if text in outcome.client_saw else [f"the client did not see item {number} of `client_sees`"]
    for number, text in enumerate(expect.upstream_sees, 1):
        was_seen = _is_in(text, outcome.upstream_saw)
        lines += [] if was_seen else [f"the upstream did not see item {number} of `upstream_sees`"]
    return tuple(lines)


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _is_in(text: str, value: Json | Sequence[Json]) -> bool:
    """Whether some text in this JSON has it."""
    if isinstance(value, str):
        return text in value
    if isinstance(value, dict):
        return any(_is_in(text, one) for one in value.values())
    return isinstance(value, list | tuple) and any(_is_in(text, one) for one in value)
