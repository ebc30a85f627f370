"""`fake:` of a test: what models, guards, model server, people, clock and log do in it.

What a case does not fake is as it would be: a guard without a model runs for real, one with a model gives score 0, the
model server answers something plain, nobody votes, it is now, and the log takes every record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from guards.errors import ErrorKind
from guards.verdict import PPM, Scope
from policies.errors import Problems
from policies.fields import NO_TEXTS, Reader, Section, choice, integer, list_of, ppm, table, text
from policies.keeping import MOST_SINKS
from policies.options import plain
from policies.read_detectors import Declared, Detectors
from policies.read_times import day_end
from policies.yaml_strict import Entry, Listing, Node, Scalar, Table

_NOON = 12 * 3600
_SAYS_NOTHING = "says nothing, expected `score`, `unsafe`, `error` or `spans`"


@dataclass(frozen=True, slots=True)
class Fake:
    """What a detector says in this case, on one scope or on all."""

    detector: str
    scope: Scope | None
    score_ppm: int = 0
    categories: tuple[tuple[str, int], ...] = ()
    error: ErrorKind | None = None
    spans: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(text, label): places that a guard without a model finds, wherever the text stands."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """What the model answers: the pieces of its text, in order."""

    chunks: tuple[str, ...] = field(default=("A plain answer.",), repr=False)
    tool_calls: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(name, arguments) of the calls that follow the text."""
    reasoning: str = field(default="", repr=False)
    """What comes before the text, on the channel for it."""
    class_: str = "local"
    """What kind of place the model server is."""
    classes: tuple[tuple[str, str], ...] = ()
    """(model or engine, what kind of place that is), for what rules send elsewhere."""


@dataclass(frozen=True, slots=True)
class Faked:
    """All that a case fakes."""

    fakes: tuple[Fake, ...] = ()
    upstream: Upstream = Upstream()
    at: int | None = None
    """When it is, in seconds since 1970; None: now."""
    votes: tuple[tuple[str, bool], ...] = ()
    """(who, whether they approve), in order, of a review."""
    time_is_up: bool = False
    """Whether nobody votes after that, and the time of the review passes."""
    sinks_up: int | None = None
    """In how many places the log can write; None: in as many as it has to."""


@dataclass(frozen=True, slots=True)
class FakeReader:
    """Reads `fake:`."""

    detectors: Detectors
    problems: Problems

    def read(self, node: Node | None) -> Faked:
        found = table(node, "`fake`", self.problems) if node else None
        fakes: list[Fake] = []
        faked = Faked()
        for entry in found.entries if found else ():
            if entry.key == "upstream":
                faked = replace(faked, upstream=self._upstream(entry))
            elif entry.key == "reviews":
                votes, is_over = self._reviews(entry.value)
                faked = replace(faked, votes=votes, time_is_up=is_over)
            elif entry.key == "clock":
                over = day_end(entry.value, "`clock`", self.problems)
                faked = replace(faked, at=None if over is None else over - _NOON)
            elif entry.key == "audit":
                faked = replace(faked, sinks_up=self._sinks_up(entry))
            elif entry.key in self.detectors:
                declared = self.detectors[entry.key]
                fakes.extend(self._detector(entry, declared) if declared else ())
            else:
                known = dict.fromkeys([*self.detectors, "upstream", "clock", "reviews", "audit"])
                Section.open(_alone(entry), "`fake`", self.problems, known)
        return replace(faked, fakes=tuple(fakes))

    def _reviews(self, node: Node) -> tuple[tuple[tuple[str, bool], ...], bool]:
        """Who votes, in order; `timeout` in place of it, or at its end: then the time is up."""
        if isinstance(node, Scalar):
            said = choice(("timeout",))(node, "`reviews`", self.problems)
            return (), said is not None
        items = node.items if isinstance(node, Listing) else ()
        is_over = bool(items) and isinstance(items[-1], Scalar) and items[-1].value == "timeout"
        votes = Listing(node.place, items[:-1]) if is_over else node
        return list_of(_vote, may_repeat=True)(votes, "`reviews`", self.problems) or (), is_over

    def _sinks_up(self, entry: Entry) -> int | None:
        section = Section.open(entry.value, "`audit`", self.problems, ("sinks_up",))
        return section.require("sinks_up", integer(0, MOST_SINKS), 0) if section else None

    def _upstream(self, entry: Entry) -> Upstream:
        known = ("text", "chunks", "reasoning", "tool_calls", "class", "classes")
        section = Section.open(entry.value, "`upstream`", self.problems, known)
        if section is None:
            return Upstream()
        if "text" in section and "chunks" in section:
            self.problems.add(section.place, "`upstream` has both `text` and `chunks`, expected one of them")
        elif not any(key in section for key in known):
            self.problems.add(
                section.place,
                "`upstream` says nothing, expected `text`, `chunks`, `reasoning`, `tool_calls`, `class` or `classes`",
            )
        nothing: tuple[tuple[str, str], ...] = ()
        calls = section.get("tool_calls", list_of(_call, least=1, may_repeat=True), nothing)
        said = () if calls else Upstream().chunks
        whole = (section.get("text", text, ""),) if "text" in section else said
        chunks = section.get("chunks", list_of(text, least=1, may_repeat=True), whole)
        reasoning, class_ = section.get("reasoning", text, ""), section.get("class", text, "local")
        return Upstream(chunks, calls, reasoning, class_, self._classes(section.node("classes")))

    def _classes(self, node: Node | None) -> tuple[tuple[str, str], ...]:
        """`{big: external}`."""
        found = table(node, "`classes`", self.problems) if node else None
        read = [(entry.key, text(entry.value, f"`{entry.key[:40]}`", self.problems)) for entry in _entries(found)]
        return tuple((name, class_) for name, class_ in read if class_)

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
        section = Section.open(node, f"`{name}`", self.problems, ("score", "unsafe", "error", "spans"))
        fake = Fake(name, scope)
        if section is None:
            return fake
        if "spans" in section:
            return self._spans(section, declared, fake)
        if not declared.guard.is_model and "error" not in section:
            problem = f"`{name}` runs for real in a test"
            self.problems.add(section.place, problem, "only its `error` and its `spans` can be faked")
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

    def _spans(self, section: Section, declared: Declared, fake: Fake) -> Fake:
        """`[{text: "00421987", entity: mrn}]`: places that it finds, besides what it finds for real nothing."""
        if not declared.guard.gives_spans:
            self.problems.add(section.place_of("spans"), f"`{fake.detector}` finds no places in a text")
            return fake
        if any(key in section for key in ("score", "unsafe", "error")):
            self.problems.add(section.place, "`spans` stand alone")

        def read(node: Node, what: str, problems: Problems) -> tuple[str, str] | None:
            inner = Section.open(node, what, problems, ("text", "entity"))
            if inner is None:
                return None
            label: Reader[str] = choice(declared.labels) if declared.labels else text
            found = inner.require("text", text, ""), inner.require("entity", label, "")
            return found if all(found) else None

        return replace(fake, spans=section.get("spans", list_of(read), ()))


def _alone(entry: Entry) -> Node:
    return Table(entry.place, (entry,))


def _entries(found: Table | None) -> tuple[Entry, ...]:
    return tuple(found.entries) if found else ()


def _call(node: Node, what: str, problems: Problems) -> tuple[str, str] | None:
    """`{lookup: {id: 7}}`: one key, the tool; its arguments as JSON."""
    found = table(node, what, problems)
    if found is None or len(found.entries) != 1:
        if found is not None:
            problems.add(found.place, "tool call needs exactly one key, its tool", "such as `{lookup: {id: 7}}`")
        return None
    [entry] = found.entries
    return entry.key, json.dumps(plain(entry.value), separators=(",", ":"), ensure_ascii=False)


def _vote(node: Node, what: str, problems: Problems) -> tuple[str, bool] | None:
    """`{by: u2, vote: approve}`."""
    section = Section.open(node, what, problems, ("by", "vote"))
    if section is None:
        return None
    by, vote = section.require("by", text, ""), section.require("vote", choice(("approve", "deny")), "")
    return (by, vote == "approve") if by and vote else None
