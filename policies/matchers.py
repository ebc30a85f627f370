"""What a rule can ask about one part, compiled: pure values with integer bounds and three answers.

True and False are certain. None means that the answer hangs on a detector that gave no verdict, and that no other
condition settles it: `any` with one True is True whatever the others would have said, `all` with one False is False.
What None means for the exchange is the policy's choice (policies/decide.py); it is never read as False.

`form` is the canonical JSON of a matcher. Matchers that mean the same have the same form as far as the loader can tell:
bounds are inclusive integers, and the children of `all` and `any` are sorted and without repeats.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from guards.verdict import Span, Verdict

Form: TypeAlias = str | int | Sequence["Form"] | Mapping[str, "Form"]
Verdicts: TypeAlias = Mapping[str, Verdict]
"""Detector name -> what it said about the part. A detector without a verdict is absent."""


class Asked(Protocol):
    """The facts of the exchange that a rule may ask for."""

    def value(self, name: str) -> str:
        """Empty when nobody said."""
        ...


class Matcher(Protocol):
    """A condition on one part. Immutable; `holds` touches no clock and keeps nothing."""

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None: ...

    def spans(self, verdicts: Verdicts, facts: Asked) -> Iterator[Span]:
        """The characters that made it hold, for `redact`."""
        ...

    def detectors(self) -> frozenset[str]: ...

    def asks_facts(self) -> bool: ...

    def form(self) -> Form: ...


class _Leaf:
    """Defaults for a condition on one verdict that points at no characters."""

    __slots__ = ()

    def asks_facts(self) -> bool:
        return False

    def spans(self, verdicts: Verdicts, facts: Asked) -> Iterator[Span]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Score(_Leaf):
    """`score`, `unsafe`: the verdict's score lies in least..most, in parts per million."""

    detector: str
    least: int
    most: int

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        verdict = verdicts.get(self.detector)
        return None if verdict is None else self.least <= verdict.score_ppm <= self.most

    def detectors(self) -> frozenset[str]:
        return frozenset((self.detector,))

    def form(self) -> Form:
        return {"score": [self.detector, self.least, self.most]}


@dataclass(frozen=True, slots=True)
class AnyCategory(_Leaf):
    """`category`: at least one of these reaches its threshold."""

    detector: str
    thresholds: Mapping[str, int]

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        verdict = verdicts.get(self.detector)
        if verdict is None:
            return None
        wanted = self.thresholds
        return any(code in wanted and score >= wanted[code] for code, score in verdict.categories)

    def detectors(self) -> frozenset[str]:
        return frozenset((self.detector,))

    def form(self) -> Form:
        return {"category": [self.detector, dict(self.thresholds)]}


@dataclass(frozen=True, slots=True)
class OnlyCategories(_Leaf):
    """`only`: some category reaches its threshold, and every one that does is allowed."""

    detector: str
    allowed: frozenset[str]
    thresholds: Mapping[str, int]
    default: int
    """For a category that `thresholds` does not name."""

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        verdict = verdicts.get(self.detector)
        if verdict is None:
            return None
        flagged = {code for code, score in verdict.categories if score >= self.thresholds.get(code, self.default)}
        return bool(flagged) and flagged <= self.allowed

    def detectors(self) -> frozenset[str]:
        return frozenset((self.detector,))

    def form(self) -> Form:
        return {"only": [self.detector, sorted(self.allowed), dict(self.thresholds), self.default]}


@dataclass(frozen=True, slots=True)
class Count(_Leaf):
    """`count`, `entity`: how many spans were found, of these labels if any are named."""

    detector: str
    labels: frozenset[str]
    """Empty means all."""
    least: int
    most: int

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        verdict = verdicts.get(self.detector)
        if verdict is None:
            return None
        if not self.labels:
            return self.least <= len(verdict.spans) <= self.most
        return self.least <= sum(span.label in self.labels for span in verdict.spans) <= self.most

    def spans(self, verdicts: Verdicts, facts: Asked) -> Iterator[Span]:
        verdict = verdicts.get(self.detector)
        if verdict is not None and self.holds(verdicts, facts):
            yield from (span for span in verdict.spans if not self.labels or span.label in self.labels)

    def detectors(self) -> frozenset[str]:
        return frozenset((self.detector,))

    def form(self) -> Form:
        return {"count": [self.detector, sorted(self.labels), self.least, self.most]}


@dataclass(frozen=True, slots=True)
class Fact(_Leaf):
    """`tenant`, `app`, `tool`, `desk`: the exchange's, or the part's, is one of these."""

    name: str
    values: frozenset[str]

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        return facts.value(self.name) in self.values

    def detectors(self) -> frozenset[str]:
        return frozenset()

    def asks_facts(self) -> bool:
        return True

    def form(self) -> Form:
        return {"fact": [self.name, sorted(self.values)]}


@dataclass(frozen=True, slots=True)
class _Group:
    """Several conditions that make up one."""

    children: tuple[Matcher, ...]

    def detectors(self) -> frozenset[str]:
        return frozenset().union(*(child.detectors() for child in self.children))

    def asks_facts(self) -> bool:
        return any(child.asks_facts() for child in self.children)


@dataclass(frozen=True, slots=True)
class All(_Group):
    """Every child holds."""

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        result: bool | None = True
        for child in self.children:
            held = child.holds(verdicts, facts)
            if held is False:
                return False
            if held is None:
                result = None
        return result

    def spans(self, verdicts: Verdicts, facts: Asked) -> Iterator[Span]:
        for child in self.children:
            yield from child.spans(verdicts, facts)

    def form(self) -> Form:
        return {"all": [child.form() for child in self.children]}


@dataclass(frozen=True, slots=True)
class Any(_Group):
    """At least one child holds."""

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        result: bool | None = False
        for child in self.children:
            held = child.holds(verdicts, facts)
            if held:
                return True
            if held is None:
                result = None
        return result

    def spans(self, verdicts: Verdicts, facts: Asked) -> Iterator[Span]:
        for child in self.children:
            if child.holds(verdicts, facts):
                yield from child.spans(verdicts, facts)

    def form(self) -> Form:
        return {"any": [child.form() for child in self.children]}


@dataclass(frozen=True, slots=True)
class Not(_Leaf):
    """The child does not hold. What it points at is not what made this hold, so no spans."""

    child: Matcher

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        held = self.child.holds(verdicts, facts)
        return None if held is None else not held

    def detectors(self) -> frozenset[str]:
        return self.child.detectors()

    def asks_facts(self) -> bool:
        return self.child.asks_facts()

    def form(self) -> Form:
        return {"not": self.child.form()}


ALWAYS = All(())
"""A rule without `when`."""


def asks(matcher: Matcher, names: Collection[str]) -> bool:
    """Whether one of these facts is in it."""
    if isinstance(matcher, All | Any):
        return any(asks(child, names) for child in matcher.children)
    if isinstance(matcher, Not):
        return asks(matcher.child, names)
    return isinstance(matcher, Fact) and matcher.name in names


def canonical(form: Form) -> str:
    """One spelling for equal values."""
    return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def combined(kind: type[All] | type[Any], children: Iterable[Matcher]) -> Matcher:
    """Children flattened, sorted and without repeats; a single one stands alone."""
    flat: dict[str, Matcher] = {}
    for child in children:
        inner = child.children if isinstance(child, kind) else (child,)
        flat.update((canonical(one.form()), one) for one in inner)
    ordered = tuple(flat[key] for key in sorted(flat))
    return ordered[0] if len(ordered) == 1 else kind(ordered)
