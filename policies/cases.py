"""`tests:` of a policy file: what is sent, what is faked, what has to come of it.

A case goes through the whole exchange, with nothing but the model behind each guard and the upstream scripted. Guards
without a model run for real. A model detector that a case does not fake gives score 0; so a case says what it is about
and no more. Texts of cases are kept out of every message and every repr.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from guards.errors import ErrorKind
from guards.verdict import PPM, Scope
from policies import vocabulary as words
from policies.errors import Place, Problems
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
    ppm,
    table,
    text,
)
from policies.options import plain
from policies.read_actions import CODE
from policies.read_detectors import Declared, Detectors
from policies.read_reviews import QUEUE
from policies.read_rules import RULE_ID
from policies.read_times import day_end
from policies.yaml_strict import Broken, Entry, Listing, Node, Table

ROLES = ("system", "user", "assistant", "tool")
ACTIONS = ("allow", "annotate", "flag", "redact", "replace", "route", "review", "block")
DEFAULT_MODEL = "test-model"
DEFAULT_CALLER = "test"
_NOON = 12 * 3600
_SAYS_NOTHING = "says nothing, expected `score`, `unsafe` or `error`"


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
class Fake:
    """What a detector says in this case, on one scope or on all."""

    detector: str
    scope: Scope | None
    score_ppm: int = 0
    categories: tuple[tuple[str, int], ...] = ()
    error: ErrorKind | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """What the model answers: the pieces of its text, in order."""

    chunks: tuple[str, ...] = field(default=("A plain answer.",), repr=False)
    tool_calls: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(name, arguments) of the calls that follow the text."""
    class_: str = "local"
    """What kind of place the model server is."""


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
    """What a review came to: `approved`, `denied`, or `pending` when the votes of the case do not decide it."""
    because: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One test of the policy, by its author."""

    place: Place
    name: str
    send: Send
    fakes: tuple[Fake, ...]
    upstream: Upstream
    expect: Expect
    at: int | None = None
    """When it is, in seconds since 1970; None: now."""
    votes: tuple[tuple[str, bool], ...] = ()
    """(who, whether they approve), in order, of a review."""


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
        fakes, upstream, at, votes = self._fakes(section.node("fake"))
        send = self._send(section)
        expect = self._expect(section)
        return Case(section.place, name, send, fakes, upstream, expect, at, votes) if send and expect else None

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

    def _fakes(self, node: Node | None) -> tuple[tuple[Fake, ...], Upstream, int | None, tuple[tuple[str, bool], ...]]:
        found = table(node, "`fake`", self.problems) if node else None
        fakes: list[Fake] = []
        upstream, at = Upstream(), None
        votes: tuple[tuple[str, bool], ...] = ()
        for entry in found.entries if found else ():
            if entry.key == "upstream":
                upstream = self._upstream(entry)
            elif entry.key == "reviews":
                votes = list_of(_vote, may_repeat=True)(entry.value, "`reviews`", self.problems) or ()
            elif entry.key == "clock":
                over = day_end(entry.value, "`clock`", self.problems)
                at = None if over is None else over - _NOON
            elif entry.key in self.detectors:
                declared = self.detectors[entry.key]
                fakes.extend(self._detector(entry, declared) if declared else ())
            else:
                known = dict.fromkeys([*self.detectors, "upstream", "clock", "reviews"])
                Section.open(_alone(entry), "`fake`", self.problems, known, words.LATER_FAKE)
        return tuple(fakes), upstream, at, votes

    def _upstream(self, entry: Entry) -> Upstream:
        known = ("text", "chunks", "tool_calls", "class")
        section = Section.open(entry.value, "`upstream`", self.problems, known)
        if section is None:
            return Upstream()
        if "text" in section and "chunks" in section:
            self.problems.add(section.place, "`upstream` has both `text` and `chunks`, expected one of them")
        elif not any(key in section for key in known):
            self.problems.add(
                section.place, "`upstream` says nothing, expected `text`, `chunks`, `tool_calls` or `class`"
            )
        nothing: tuple[tuple[str, str], ...] = ()
        calls = section.get("tool_calls", list_of(_call, least=1, may_repeat=True), nothing)
        said = () if calls else Upstream().chunks
        whole = (section.get("text", text, ""),) if "text" in section else said
        chunks = section.get("chunks", list_of(text, least=1, may_repeat=True), whole)
        return Upstream(chunks, calls, section.get("class", text, "local"))

    def _detector(self, entry: Entry, declared: Declared) -> list[Fake]:
        """By scope (`{output: {…}}`), or for every scope at once."""
        scopes = {str(scope) for scope in Scope}
        found = table(entry.value, f"`{entry.key}`", self.problems)
        if found is None or not found.entries:
            if found is not None:
                self.problems.add(found.place, f"fake of `{entry.key}` {_SAYS_NOTHING}")
            return []
        if any(inner.key in scopes for inner in found.entries):
            outer = Section.open(found, f"`{entry.key}`", self.problems, scopes)
            inners = [inner for inner in found.entries if outer and inner.key in outer]
            return [self._said(inner.value, declared, Scope(inner.key)) for inner in inners]
        return [self._said(found, declared, None)]

    def _said(self, node: Node, declared: Declared, scope: Scope | None) -> Fake:
        name = declared.spec.name
        section = Section.open(node, f"`{name}`", self.problems, ("score", "unsafe", "error"), ("spans", "output"))
        fake = Fake(name, scope)
        if section is None:
            return fake
        if not declared.guard.is_model and "error" not in section:
            problem = f"`{name}` runs for real in a test"
            self.problems.add(section.place, problem, "only its `error` can be faked")
            return fake
        if "error" in section:
            error = section.get("error", choice([str(kind) for kind in ErrorKind]), str(ErrorKind.UNAVAILABLE))
            if "score" in section or "unsafe" in section:
                self.problems.add(section.place, "an `error` has neither `score` nor `unsafe`")
            return Fake(name, scope, error=ErrorKind(error))
        if not ("score" in section or "unsafe" in section):
            self.problems.add(section.place, f"fake of `{name}` {_SAYS_NOTHING}")
        if "unsafe" in section and not declared.guard.categories:
            self.problems.add(section.place_of("unsafe"), f"`{name}` names no categories", "fake its `score`")
            return fake
        codes = section.get("unsafe", list_of(choice(declared.guard.categories), least=1), NO_TEXTS)
        score = section.get("score", ppm, PPM if codes else 0)
        return Fake(name, scope, score, tuple((code, PPM) for code in sorted(codes)))

    def _expect(self, case: Section) -> Expect | None:
        known = tuple(Expect.__dataclass_fields__)
        section = self._open(case, "expect", known, words.LATER_EXPECT)
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
            state=section.get("state", choice(("approved", "denied", "pending")), "") or None,
            because=section.get("because", text, "") or None,
            audit_never_holds=section.get("audit_never_holds", one_or_more(text), NO_TEXTS),
            client_sees=section.get("client_sees", one_or_more(text), NO_TEXTS),
            client_never_sees=section.get("client_never_sees", one_or_more(text), NO_TEXTS),
            upstream_sees=section.get("upstream_sees", one_or_more(text), NO_TEXTS),
        )


def _alone(entry: Entry) -> Node:
    return Table(entry.place, (entry,))


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


def _call(node: Node, what: str, problems: Problems) -> tuple[str, str] | None:
    """`{lookup: {id: 7}}`: one key, the tool; its arguments as JSON."""
    found = table(node, what, problems)
    if found is None or len(found.entries) != 1:
        if found is not None:
            problems.add(found.place, "tool call needs exactly one key, its tool", "such as `{lookup: {id: 7}}`")
        return None
    [entry] = found.entries
    return entry.key, json.dumps(plain(entry.value), separators=(",", ":"), ensure_ascii=False)


def _tools(node: Node, what: str, problems: Problems) -> tuple[tuple[str, str], ...] | None:
    """`{lookup: {type: object}}`: by name, what arguments the tool takes; a mapping that says nothing takes any."""
    found = table(node, what, problems)
    if found is None:
        return None
    taken = [(entry.key, table(entry.value, f"`{entry.key[:40]}`", problems)) for entry in found.entries]
    return tuple((name, json.dumps(plain(takes))) for name, takes in taken if takes is not None)


def _vote(node: Node, what: str, problems: Problems) -> tuple[str, bool] | None:
    """`{by: u2, vote: approve}`."""
    section = Section.open(node, what, problems, ("by", "vote"))
    if section is None:
        return None
    by, vote = section.require("by", text, ""), section.require("vote", choice(("approve", "deny")), "")
    return (by, vote == "approve") if by and vote else None
