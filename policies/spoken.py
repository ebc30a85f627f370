"""Conditions and values in the words of a policy file, for reports that a reviewer reads.

`inject score >= 0.545`, not its compiled form. Names of detectors, categories and labels only: no text that was judged
can get here.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from guards.verdict import PPM
from policies.matchers import ALWAYS, All, Any, AnyCategory, Count, Fact, Matcher, Not, OnlyCategories, Score
from policies.model import Do, Rule
from policies.read_matchers import MANY


def share(ppm: int) -> str:
    """0.545 for 545,000 parts per million."""
    return format((Decimal(ppm) / PPM).normalize(), "f")


def duration(duration_ms: int) -> str:
    return f"{duration_ms // 1000}s" if duration_ms % 1000 == 0 else f"{duration_ms}ms"


def said(matcher: Matcher) -> str:
    """One line."""
    if matcher == ALWAYS:
        return "always"
    if isinstance(matcher, All | Any):
        word = " and " if isinstance(matcher, All) else " or "
        return word.join(_inside(child, type(matcher)) for child in matcher.children) or "never"
    if isinstance(matcher, Not):
        return f"not ({said(matcher.child)})"
    return leaf(matcher)


def _inside(child: Matcher, kind: type[All] | type[Any]) -> str:
    return f"({said(child)})" if isinstance(child, All | Any) and not isinstance(child, kind) else said(child)


def leaf(matcher: Matcher) -> str:
    """A condition that has none inside it."""
    if isinstance(matcher, Score):
        return f"{matcher.detector} score " + _bounds(matcher.least, matcher.most, PPM, share)
    if isinstance(matcher, Count):
        labels = f" of {', '.join(sorted(matcher.labels))}" if matcher.labels else ""
        return f"{matcher.detector} count{labels} " + _bounds(matcher.least, matcher.most, MANY, str)
    if isinstance(matcher, AnyCategory):
        return f"{matcher.detector} category " + " or ".join(
            f"{code} >= {share(ppm)}" for code, ppm in matcher.thresholds.items()
        )
    if isinstance(matcher, OnlyCategories):
        return f"{matcher.detector} only {', '.join(sorted(matcher.allowed))}"
    if isinstance(matcher, Fact):
        return f"{matcher.name} is " + " or ".join(sorted(matcher.values))
    raise AssertionError(f"no words for {type(matcher).__name__}")


def _bounds(least: int, most: int, top: int, show: Callable[[int], str]) -> str:
    if most >= top:
        return f">= {show(least)}"
    return f"<= {show(most)}" if least == 0 else f"{show(least)} to {show(most)}"


def condition(rule: Rule) -> str:
    """When a rule matches."""
    return said(rule.when) + (f", unless {said(rule.unless)}" if rule.unless is not None else "")


def doing(do: Do) -> str:
    """`block prompt_attack`, `redact, flag security high`, `replace answer by crisis-line`."""
    name = do.action.name.lower()
    named = (name, do.code, do.model, do.review.queue if do.review else "")
    words = [f"replace answer by {do.template}" if do.template else " ".join(filter(None, named))]
    if do.queue:
        words = ([] if name == "flag" else words) + [f"flag {do.queue} {do.severity}"]
    if do.field:
        words = ([] if name == "annotate" else words) + [f"annotate {do.field}"]
    return ", ".join(words)
