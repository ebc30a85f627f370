"""Files made to be costly: refused, or read with work that grows with their size and no faster.

Work is counted in lines run, never in seconds, so that a busy machine changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from policies.errors import PolicyErrors
from policies.load import parse_policy
from policies.model import Policy
from policies.read_rules import MAX_RULES
from policies.yaml_strict import MAX_BYTES

TOP = "gatehouse: policy/v1\nname: heavy\nversion: '1'\n"
DETECTOR = "detectors: {d: {use: secrets}}\n"
RULE = "rules: [{id: pass, on: [user], when: {d: {count: {gte: 1}}}, do: flag}]\n"


def rules(count: int) -> str:
    each = "".join(
        f"- {{id: r{n}, on: [user], when: {{d: {{count: {{gte: {n % 9 + 1}}}}}}}, do: flag}}\n" for n in range(count)
    )
    return TOP + DETECTOR + "rules:\n" + each


def relaxing(count: int) -> str:
    """Every rule is an exception from the one before it."""
    first = "- {id: r0, on: [user], when: {d: {count: {gte: 1}}}, do: {block: {code: x}}}\n"
    rest = "".join(
        f"- {{id: r{n}, on: [user], when: {{d: {{count: {{gte: 1}}}}}}, relaxes: r{n - 1}, do: flag}}\n"
        for n in range(1, count)
    )
    return TOP + DETECTOR + "rules:\n" + first + rest


def conditions(count: int) -> str:
    listed = ",".join(f"{{d: {{count: {{gte: {n}}}}}}}" for n in range(1, count + 1))
    return TOP + DETECTOR + RULE.replace("{d: {count: {gte: 1}}}", f"{{any: [{listed}]}}")


def unknown_keys(count: int) -> str:
    return TOP + DETECTOR + RULE + "".join(f"key{n}: 1\n" for n in range(count))


def unknown_rules(count: int) -> str:
    """Each test expects a rule that is not there."""
    each = "".join(
        f"- {{name: t{n}, send: {{messages: [{{user: x}}]}}, expect: {{action: flag, rule: q{n}}}}}\n"
        for n in range(count)
    )
    return rules(count) + "tests:\n" + each


def items(count: int) -> str:
    return TOP + DETECTOR + RULE + "tests: [" + "1," * count + "1]\n"


def detectors(count: int) -> str:
    return TOP + RULE + "detectors: {" + ",".join(f"d{n}: {{use: secrets}}" for n in range(count)) + "}\n"


def words(count: int) -> str:
    listed = ",".join(f"w{n}" for n in range(count))
    return TOP + RULE + f"detectors: {{d: {{use: terms, words: [{listed}]}}}}\n"


def loaded(text: str) -> Policy | PolicyErrors:
    try:
        return parse_policy(text.encode(), "p.yaml")
    except PolicyErrors as exc:
        return exc


def lines_run(work: Callable[[], object]) -> int:
    """Lines of policies/, turns of loops in one line included."""
    count = 0

    def inside(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return inside

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        return inside if "/policies/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "made",
    [rules, relaxing, conditions, unknown_keys, unknown_rules, items, detectors, words],
    ids=lambda made: made.__name__,
)
def test_four_times_as_much_is_at_most_five_times_the_work(made: Callable[[int], str]) -> None:
    loaded(made(3))
    little, much = made(100), made(400)
    before = lines_run(lambda: loaded(little))
    assert before > 400
    assert lines_run(lambda: loaded(much)) < 5 * before


def test_the_count_notices_work_that_grows_faster() -> None:
    def pairs(count: int) -> int:
        return lines_run(lambda: [[other for other in range(count) if other == one] for one in range(count)])

    assert pairs(400) > 10 * pairs(100)


def test_as_many_rules_as_there_may_be_are_read_and_one_more_is_refused() -> None:
    found = loaded(rules(MAX_RULES))
    assert isinstance(found, Policy)
    assert len(found.rules) == MAX_RULES
    more = loaded(rules(MAX_RULES + 1))
    assert isinstance(more, PolicyErrors)
    assert "`rules` has to be a list of 1 to 10000 rules" in str(more)


ALIASES = "a: &a [x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join(['*' + before] * 9)}]\n" for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)
BOMBS = {
    "aliases that multiply": (ALIASES, "is not accepted"),
    "a megabyte of brackets": ("[" * MAX_BYTES, "nested more than 32 deep"),
    "a megabyte of braces": ("{a: " * (MAX_BYTES // 4), "nested more than 32 deep"),
    "more than a megabyte": ("#" * (MAX_BYTES + 1), "expected at most 1048576"),
    "a megabyte of items": (items(520_000), "test is `1`, expected a mapping"),
    "a megabyte of keys": (unknown_keys(80_000), "unknown key `key0`"),
    "a megabyte of detectors": (detectors(44_000), "`detectors` has 44000 entries, expected at most 64"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    text, problem = BOMBS[name]
    found = loaded(text)
    assert isinstance(found, PolicyErrors)
    assert problem in str(found)
    assert len(found.problems) <= 100


@pytest.mark.parametrize(
    ("detector", "problem"),
    [
        ("use: regex, pattern: '(a+)+$'", ""),
        ("use: regex, pattern: '^(([a-z])+.)+[A-Z]([a-z])+$'", ""),
        ("use: regex, pattern: '(a|a)*(a|a)*(a|a)*b'", ""),
        (f"use: regex, pattern: '{'(' * 8 + 'a' + '{1,100})' * 8}'", "not a pattern that RE2 accepts"),
        (f"use: regex, pattern: '{'(a|aa)*' * 9000}'", "expected 1 to 4096"),
        (r"use: regex, pattern: '(a)\1+'", "not a pattern that RE2 accepts"),
        (r"use: regex, pattern: '(?=a+)+b'", "not a pattern that RE2 accepts"),
        ("use: near, term: '(a|a)*b', value: '(x+x+)+y', within: 20", "may be of any length"),
    ],
)
def test_a_pattern_built_to_backtrack_is_refused_or_cannot(detector: str, problem: str) -> None:
    """RE2 runs in time that grows with the text, whatever the pattern; what it does not take does not load."""
    found = loaded(TOP + RULE + f"detectors: {{d: {{{detector}}}}}\n")
    if problem:
        assert isinstance(found, PolicyErrors)
        assert problem in str(found)
    else:
        assert isinstance(found, Policy)
