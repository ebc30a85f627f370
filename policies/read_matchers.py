"""`when:` and `unless:` to matchers. All keys of one mapping must hold; `any` is the only "or".

What can never match, or asks a guard for something it does not give, is a problem here and not a silent never at run
time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from guards.verdict import PPM, Scope
from policies import vocabulary as words
from policies.errors import Problems, did_you_mean
from policies.fields import (
    Reader,
    Section,
    boolean,
    choice,
    described,
    integer,
    list_of,
    matching,
    not_available,
    one_or_more,
    ppm,
    table,
)
from policies.matchers import All, Any, AnyCategory, Count, Fact, Matcher, Not, OnlyCategories, Score, combined
from policies.model import Thresholds
from policies.read_detectors import Declared, Detectors
from policies.yaml_strict import Broken, Entry, Listing, Node, Table

MANY = 1_000_000_000
"""No part has as many spans; an upper bound for `count` without one."""
TOOL_SCOPES = frozenset({Scope.TOOL_CALL, Scope.TOOL_RESULT})
_FACT = matching(r"[^\s\x00-\x1f]{1,200}", "a name without spaces")
_CONDITIONS = ("score", "unsafe", "category", "only", "count", "entity", "in", "not_in")
_BOUNDS = ("gte", "gt", "lt", "lte")


@dataclass(frozen=True, slots=True)
class MatcherReader:
    """Reads the conditions of one rule."""

    detectors: Detectors
    scopes: frozenset[Scope]
    claims: tuple[str, ...]
    """Facts that the policy itself names, besides those of the language."""
    problems: Problems
    used: set[str]
    """Names of detectors that some rule asks; filled while reading."""

    def read(self, node: Node, what: str) -> Matcher | None:
        """The conjunction of one mapping, or None after a problem."""
        found = table(node, what, self.problems)
        if found is None:
            return None
        if not found.entries:
            self.problems.add(found.place, f"{what} is empty, expected at least one condition")
            return None
        children = [self._entry(entry) for entry in found.entries]
        return None if None in children else combined(All, [child for child in children if child is not None])

    def _entry(self, entry: Entry) -> Matcher | None:
        key = entry.key
        if key == "not":
            child = self.read(entry.value, "`not`")
            return None if child is None else Not(child)
        if key in ("any", "all"):
            return self._list(entry)
        if key in words.FACTS or key in self.claims:
            return self._fact(entry)
        if key in self.detectors:
            return self._detector(entry, self.detectors[key])
        if key in words.LATER_FACTS:
            self.problems.add(entry.place, not_available(key))
        else:
            near = did_you_mean(key, [*self.detectors, *words.FACTS, *self.claims, *words.COMBINATIONS])
            self.problems.add(entry.place, f"unknown detector or fact `{key[:40]}`", near)
        return None

    def _fact(self, entry: Entry) -> Matcher | None:
        """`app: staff`, `app: [staff, lab]`, `app: {not_in: [public]}`, `upstream: {class: external}`."""
        key, node = entry.key, entry.value
        if key == "tool" and (others := sorted(self.scopes - TOOL_SCOPES)):
            told = f"`tool` is not known on `{others[0]}`"
            self.problems.add(entry.place, told, "it is on `tool_call` and `tool_result`")
            return None
        if not isinstance(node, Table):
            return self._values(key, node)
        known = ("in", "not_in", "class") if key == "upstream" else ("in", "not_in")
        section = Section.open(node, f"`{key}`", self.problems, known)
        if section is None or len(node.entries) != 1 or node.entries[0].key not in section:
            if section is not None and len(node.entries) != 1:
                told = f"`{key}` needs exactly one of {', '.join(f'`{name}`' for name in known)}"
                self.problems.add(node.place, told)
            return None
        [inner] = node.entries
        fact = self._values("upstream_class" if inner.key == "class" else key, inner.value)
        return Not(fact) if fact is not None and inner.key == "not_in" else fact

    def _values(self, name: str, node: Node) -> Matcher | None:
        read = choice(words.TOOL_CONTEXTS) if name == "tool_context" else _FACT
        values = one_or_more(read)(node, f"`{name.replace('_class', '` `class')}`", self.problems)
        return None if values is None else Fact(name, frozenset(values))

    def _list(self, entry: Entry) -> Matcher | None:
        if not isinstance(entry.value, Listing) or not entry.value.items:
            if not isinstance(entry.value, Broken):
                found = "an empty list" if isinstance(entry.value, Listing) else described(entry.value)
                place = entry.value.place
                self.problems.add(place, f"`{entry.key}` is {found}, expected a list of conditions")
            return None
        children = [self.read(item, f"item of `{entry.key}`") for item in entry.value.items]
        kind = Any if entry.key == "any" else All
        return None if None in children else combined(kind, [child for child in children if child is not None])

    def _detector(self, entry: Entry, declared: Declared | None) -> Matcher | None:
        self.used.add(entry.key)
        section = Section.open(
            entry.value, f"`{entry.key}`", self.problems, _CONDITIONS, (*words.LATER_MATCHERS, *words.LATER_FACTS)
        )
        if section is None or declared is None:
            return None
        before = len(self.problems)
        self._check_scopes(entry, declared)
        conditions = _Conditions(section, declared)
        children = conditions.all()
        if not children and len(self.problems) == before:
            self.problems.add(section.place, f"`{entry.key}` is empty, expected at least one condition")
        return combined(All, children) if len(self.problems) == before else None

    def _check_scopes(self, entry: Entry, declared: Declared) -> None:
        blind = sorted(self.scopes - declared.guard.scopes)
        if blind:
            use = declared.spec.use
            self.problems.add(entry.place, f"`{entry.key}` ({use}) cannot judge scope `{blind[0]}`")


class _Conditions:
    """The conditions on one detector."""

    def __init__(self, section: Section, declared: Declared) -> None:
        self._section, self._problems, self._declared = section, section.problems, declared
        self._name, self._spec = declared.spec.name, declared.spec

    def all(self) -> list[Matcher]:
        has_own = "score" in self._section and "category" in self._section
        kinds: tuple[tuple[bool, Callable[[], Matcher | None]], ...] = (
            (has_own, lambda: self._scored("score", self._scored_categories)),
            ("score" in self._section and not has_own, lambda: self._scored("score", self._score)),
            ("unsafe" in self._section, lambda: self._scored("unsafe", self._unsafe)),
            ("category" in self._section and not has_own, self._category),
            ("only" in self._section, self._only),
            ("in" in self._section, lambda: self._among("in")),
            ("not_in" in self._section, lambda: self._among("not_in")),
            ("count" in self._section or "entity" in self._section, self._count),
        )
        return [matcher for asked, read in kinds if asked and (matcher := read()) is not None]

    def _score(self) -> Matcher | None:
        bounds = self._bounds("score", ppm, PPM)
        return Score(self._name, *bounds) if bounds else None

    def _scored_categories(self) -> Matcher | None:
        """`{score: {gte: 0.5}, category: [S9, S4]}`: one of these has such a score, whatever else is found."""
        codes, bounds = self._codes("category"), self._bounds("score", ppm, PPM)
        if codes is None or bounds is None:
            return None
        if bounds[1] < PPM:
            told = "`score` beside `category` is the threshold of these categories, expected `gte` or `gt` alone"
            self._problems.add(self._section.place_of("score"), told, "ask for the rest in another item of `all`")
            return None
        return AnyCategory(self._name, MappingProxyType(dict.fromkeys(sorted(codes), bounds[0])))

    def _unsafe(self) -> Matcher | None:
        is_unsafe = self._section.get("unsafe", boolean, True)
        if not self._needs_threshold("unsafe"):
            return None
        all_ = [self._spec.thresholds, *self._spec.languages.values()]
        if not is_unsafe and any(one.threshold_ppm == 0 for one in all_):
            self._problems.add(self._section.place_of("unsafe"), "`unsafe: false` can never match: the threshold is 0")
            return None

        def score(own: Thresholds) -> Matcher:
            bounds = (own.threshold_ppm, PPM) if is_unsafe else (0, own.threshold_ppm - 1)
            return Score(self._name, *bounds)

        return self._by_language(score)

    def _category(self) -> Matcher | None:
        codes = self._codes("category")
        own = self._spec.category_thresholds
        if codes is None or not (codes <= own.keys() or self._needs_threshold("category")):
            return None

        def category(own: Thresholds) -> Matcher:
            reached = {code: own.categories.get(code, own.threshold_ppm) for code in sorted(codes)}
            return AnyCategory(self._name, MappingProxyType(reached))

        return self._by_language(category)

    def _only(self) -> Matcher | None:
        codes = self._codes("only")
        if codes is None or not self._needs_threshold("only"):
            return None
        return self._by_language(lambda own: OnlyCategories(self._name, codes, own.categories, own.threshold_ppm))

    def _scored(self, key: str, read: Callable[[], Matcher | None]) -> Matcher | None:
        """A guard that names what a text is calls nothing unsafe."""
        if self._declared.guard.rule is not None and self._declared.guard.categories:
            self._cannot(key, "give a score")
            return None
        return read()

    def _among(self, key: str) -> Matcher | None:
        """`in`: something the text is named as is in the list; `not_in`: something is that the list leaves out."""
        if self._declared.guard.rule is None:
            self._cannot(key, "name what a text is")
            return None
        codes = self._codes(key)
        if codes is None:
            return None
        if key == "in":
            return AnyCategory(self._name, MappingProxyType(dict.fromkeys(sorted(codes), PPM)))
        return Not(OnlyCategories(self._name, codes, MappingProxyType({}), PPM))

    def _by_language(self, matcher: Callable[[Thresholds], Matcher]) -> Matcher:
        """The condition by the detector's thresholds, and by those of each language where the exchange is in one."""
        usual = matcher(self._spec.thresholds)
        others = {language: matcher(own) for language, own in self._spec.languages.items()}
        if all(other == usual for other in others.values()):
            return usual
        elsewhere = combined(All, [Not(Fact("language", frozenset(others))), usual])
        spoken = (combined(All, [Fact("language", frozenset((one,))), other]) for one, other in others.items())
        return combined(Any, [elsewhere, *spoken])

    def _count(self) -> Matcher | None:
        if not self._declared.guard.gives_spans:
            key = "count" if "count" in self._section else "entity"
            self._cannot(key, "find places in a text")
            return None
        labels = self._labels() if "entity" in self._section else frozenset[str]()
        bounds = self._bounds("count", integer(0, MANY), MANY) if "count" in self._section else (1, MANY)
        return None if labels is None or bounds is None else Count(self._name, labels, *bounds)

    def _labels(self) -> frozenset[str] | None:
        guard, labels = self._declared.guard, self._declared.labels
        names = guard.names.get(guard.labels_from)
        groups = names.groups if names else {}
        node = self._section.node("entity")
        if node is None:
            return None
        # A label outside this detector's own list would be a condition that never holds.
        known = (*labels, *(group for group, members in groups.items() if set(members) <= set(labels)))
        chosen = one_or_more(choice(known))(node, "`entity`", self._problems)
        if chosen is None:
            return None
        return frozenset(names.expand(chosen)) if names else frozenset(chosen)

    def _codes(self, key: str) -> frozenset[str] | None:
        categories = self._declared.guard.categories
        if not categories:
            self._cannot(key, "name categories")
            return None
        node = self._section.node(key)
        codes = list_of(choice(categories), least=1)(node, f"`{key}`", self._problems) if node else None
        return None if codes is None else frozenset(codes)

    def _cannot(self, key: str, ability: str) -> None:
        place = self._section.place_of(key)
        self._problems.add(place, f"`{key}` asks `{self._name}`, but `{self._spec.use}` does not {ability}")

    def _needs_threshold(self, key: str) -> bool:
        """Rules give 0 or 1, so their threshold is 1. A model's has to be in the file, where a reviewer sees it."""
        if self._declared.has_threshold or not self._declared.guard.is_model:
            return True
        place = self._section.place_of(key)
        self._problems.add(place, f"`{key}` needs a `threshold` in detector `{self._name}`")
        return False

    def _bounds(self, key: str, reader: Reader[int], most: int) -> tuple[int, int] | None:
        """Inclusive bounds. On integers, `gt: n` is `gte: n + 1`."""
        node = self._section.node(key)
        before = len(self._problems)
        section = Section.open(node, f"`{key}`", self._problems, _BOUNDS, words.LATER_MATCHERS) if node else None
        if section is None:
            return None
        low = max(section.get("gte", reader, 0), section.get("gt", reader, -1) + 1)
        high = min(section.get("lte", reader, most), section.get("lt", reader, most + 1) - 1)
        if len(self._problems) > before:
            return None
        if low > high or (low, high) == (0, most):
            fate = "can never match" if low > high else "has no bound, or always matches"
            self._problems.add(section.place, f"`{key}` {fate}", "expected `gte`, `gt`, `lt` or `lte`")
            return None
        return low, high
