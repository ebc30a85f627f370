"""`tests:` of a policy file: what is sent, what is faked, what has to come of it.

A case goes through the whole exchange, with nothing but the model behind each guard and the upstream scripted. Guards
without a model run for real. A model detector that a case does not fake gives score 0; so a case says what it is about
and no more. Texts of cases are kept out of every message and every repr.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from policies import vocabulary as words
from policies.errors import Place, Problems
from policies.fakes import Fake, Faked, FakeReader, Upstream
from policies.fields import (
    NO_TEXTS,
    Reader,
    Section,
    boolean,
    choice,
    integer,
    list_of,
    matching,
    one_or_more,
    table,
    text,
)
from policies.keeping import CONTENT
from policies.options import plain
from policies.read_actions import CODE
from policies.read_detectors import Detectors
from policies.read_reviews import QUEUE
from policies.read_rules import RULE_ID
from policies.yaml_strict import Broken, Listing, Node

__all__ = ["Case", "CaseReader", "Expect", "Fake", "Faked", "Message", "Send", "Upstream"]

ROLES = ("system", "user", "assistant", "tool", "image")
"""An `image` is a user's message that shows one; its text says of what, to people."""
ACTIONS = ("allow", "annotate", "flag", "redact", "replace", "route", "review", "block")
DEFAULT_MODEL = "test-model"
DEFAULT_CALLER = "test"
STATES = ("approved", "denied", "pending", "expired", "waived")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the request."""

    role: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """The request, and who sends it."""

    messages: tuple[Message, ...]
    stream: bool = False
    model: str = DEFAULT_MODEL
    tenant: str = DEFAULT_CALLER
    app: str = DEFAULT_CALLER
    claims: tuple[tuple[str, str], ...] = ()
    """What the key, or the client, says of the request; sorted."""
    n: int = 1
    seed: int | None = None
    requester: str = ""
    """The person for whom the request says it is made."""
    tools: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(name, JSON Schema of the arguments) of the tools that the request offers."""


@dataclass(frozen=True, slots=True)
class Expect:
    """What has to come of it. None and empty mean that the case does not say."""

    action: str
    rule: str | None = None
    """Among the determining rules."""
    rules: tuple[str, ...] | None = None
    """Exactly the determining rules, sorted."""
    code: str | None = None
    status: int | None = None
    upstream_calls: int | None = None
    shadow: tuple[str, ...] | None = None
    """Exactly the shadow rules that matched, sorted."""
    client_never_sees: tuple[str, ...] = field(default=(), repr=False)
    upstream_sees: tuple[str, ...] = field(default=(), repr=False)
    client_sees: tuple[str, ...] = field(default=(), repr=False)
    audit_never_holds: tuple[str, ...] = field(default=(), repr=False)
    flags: tuple[str, ...] | None = None
    """Exactly the queues that are told, sorted."""
    annotations: tuple[str, ...] | None = None
    """Exactly the fields that the record is marked with, sorted."""
    template: str | None = None
    route: str | None = None
    state: str | None = None
    """What a review came to: `approved`, `denied`, `expired`, `waived`; `pending` when the votes do not decide it."""
    because: str | None = None
    audit: str | None = None
    """What is kept besides records: `none` or `sealed`."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test of the policy, by its author."""

    place: Place
    name: str
    send: Send
    faked: Faked
    expect: Expect


@dataclass(frozen=True, slots=True)
class CaseReader:
    """Reads `tests:`."""

    detectors: Detectors
    rule_ids: frozenset[str]
    claims: tuple[str, ...]
    problems: Problems

    def read(self, node: Node | None) -> tuple[Case, ...]:
        if node is None or isinstance(node, Broken):
            return ()
        if not isinstance(node, Listing):
            self.problems.add(node.place, "`tests` has to be a list")
            return ()
        names: dict[str, Place] = {}
        return tuple(case for item in node.items if (case := self._case(item, names)))

    def _case(self, node: Node, names: dict[str, Place]) -> Case | None:
        section = Section.open(node, "test", self.problems, ("name", "send", "fake", "expect"))
        if section is None:
            return None
        name = section.require("name", matching(r"[^\x00-\x1f]{1,200}", "a text in one line"), "")
        if name in names:
            self.problems.add(section.place_of("name"), f"test name is here twice, first in line {names[name].line}")
        names[name] = section.place_of("name")
        faked = FakeReader(self.detectors, self.problems).read(section.node("fake"))
        send = self._send(section)
        expect = self._expect(section)
        return Case(section.place, name, send, faked, expect) if send and expect else None

    def _open(self, section: Section, key: str, known: Iterable[str], later: Iterable[str]) -> Section | None:
        node = section.node(key)
        if node is None:
            self.problems.add(section.place, f"test has no `{key}`")
            return None
        return Section.open(node, f"`{key}`", self.problems, known, later)

    def _send(self, case: Section) -> Send | None:
        names = (*words.CLAIMS, *self.claims)
        known = ("messages", "stream", "model", "tenant", "app", "n", "seed", "requester", "tools", *names)
        section = self._open(case, "send", known, words.LATER_SEND)
        if section is None:
            return None
        return Send(
            messages=section.require("messages", list_of(_message, least=1, may_repeat=True), ()),
            stream=section.get("stream", boolean, False),
            model=section.get("model", text, DEFAULT_MODEL),
            tenant=section.get("tenant", text, DEFAULT_CALLER),
            app=section.get("app", text, DEFAULT_CALLER),
            claims=tuple(sorted((name, section.get(name, text, "")) for name in names if name in section)),
            n=section.get("n", integer(1, 128), 1),
            requester=section.get("requester", text, ""),
            tools=section.get("tools", _tools, ()),
            seed=section.get("seed", integer(0, 2**31), 0) if "seed" in section else None,
        )

    def _expect(self, case: Section) -> Expect | None:
        known = tuple(Expect.__dataclass_fields__)
        section = self._open(case, "expect", known, ())
        if section is None:
            return None
        one_id: Reader[str] = choice(sorted(self.rule_ids)) if self.rule_ids else matching(RULE_ID, "a rule id")
        rule_ids = list_of(one_id)
        names = list_of(matching(QUEUE, "a name"))
        flags, annotations = section.get("flags", names, NO_TEXTS), section.get("annotations", names, NO_TEXTS)
        rules = section.get("rules", rule_ids, NO_TEXTS)
        shadow = section.get("shadow", rule_ids, NO_TEXTS)
        return Expect(
            action=section.require("action", choice(ACTIONS, words.LATER_ACTIONS), "allow"),
            rule=section.get("rule", one_id, "") or None,
            rules=tuple(sorted(rules)) if "rules" in section else None,
            code=section.get("code", matching(CODE, "a code"), "") or None,
            status=section.get("status", integer(200, 599), 0) or None,
            upstream_calls=section.get("upstream_calls", integer(0, 1), 0) if "upstream_calls" in section else None,
            shadow=tuple(sorted(shadow)) if "shadow" in section else None,
            flags=tuple(sorted(flags)) if "flags" in section else None,
            annotations=tuple(sorted(annotations)) if "annotations" in section else None,
            template=section.get("template", text, "") or None,
            route=section.get("route", text, "") or None,
            state=section.get("state", choice(STATES), "") or None,
            because=section.get("because", text, "") or None,
            audit=self._kept(section),
            audit_never_holds=section.get("audit_never_holds", one_or_more(text), NO_TEXTS),
            client_sees=section.get("client_sees", one_or_more(text), NO_TEXTS),
            client_never_sees=section.get("client_never_sees", one_or_more(text), NO_TEXTS),
            upstream_sees=section.get("upstream_sees", one_or_more(text), NO_TEXTS),
        )

    def _kept(self, expect: Section) -> str | None:
        """`audit: {content: sealed}`."""
        node = expect.node("audit")
        section = Section.open(node, "`audit`", self.problems, ("content",)) if node else None
        return section.require("content", choice(CONTENT), "none") if section else None


def _message(node: Node, what: str, problems: Problems) -> Message | None:
    """`{user: "…"}`: one key, the role."""
    found = table(node, what, problems)
    if found is None:
        return None
    section = Section.open(found, "message", problems, ROLES)
    if section is None or len(found.entries) != 1:
        problems.add(found.place, "message needs exactly one key, its role", 'such as `{user: "…"}`')
        return None
    role = found.entries[0]
    content = text(role.value, f"`{role.key}`", problems) if role.key in ROLES else None
    return None if content is None else Message(role.key, content)


def _tools(node: Node, what: str, problems: Problems) -> tuple[tuple[str, str], ...] | None:
    """`{lookup: {type: object}}`: by name, what arguments the tool takes; a mapping that says nothing takes any."""
    found = table(node, what, problems)
    if found is None:
        return None
    taken = [(entry.key, table(entry.value, f"`{entry.key[:40]}`", problems)) for entry in found.entries]
    return tuple((name, json.dumps(plain(takes))) for name, takes in taken if takes is not None)
