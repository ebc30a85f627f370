"""Overlapping cuts become one, in any order, and what a guard says beyond the text takes the whole of it."""

from __future__ import annotations

from itertools import permutations

from guards.verdict import PPM, Span, Verdict
from policies.cuts import cuts_of, united
from policies.model import Facts, Redaction
from tests.policies.build import part, policy_of


def cut(start: int, end: int, text: str, **more: object) -> Redaction:
    return Redaction("/p", start, end, text, "r", **more)  # type: ignore[arg-type]


def test_overlaps_are_united_whatever_their_order() -> None:
    cuts = (cut(0, 5, "[a]", shows=4), cut(3, 8, "[b]"), cut(8, 9, "[c]", before_audit=True))
    whole = {united(order) for order in permutations(cuts)}
    assert whole == {(cut(0, 8, "[b]"), cut(8, 9, "[c]", before_audit=True))}


def test_what_must_not_be_kept_stays_so_for_all_of_it() -> None:
    (one,) = united([cut(0, 5, "[a]", before_audit=True), cut(2, 9, "[b]")])
    assert (one.start, one.end, one.before_audit) == (0, 9, True)


def test_a_span_beyond_the_text_takes_all_of_it() -> None:
    policy = policy_of('- {id: r, on: [user], when: {hidden: {count: {gte: 1}}}, do: {redact: {as: "[{type}]"}}}')
    rule = next(rule for rule in policy.rules if rule.id == "r")
    about = part("abc")
    said = {"hidden": Verdict(PPM, (), (Span(1, 9, "tags"),))}
    (one,) = cuts_of(rule, about, said, Facts((about,), "t", "a", "m"))
    assert (one.start, one.end, one.replacement) == (0, 3, "[removed]")
