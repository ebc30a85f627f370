"""Each check of detectors and redactions finds its example and leaves the near miss alone."""

from __future__ import annotations

import pytest

from policies.lint import lint
from tests.policies.build import document

WINDOW = "defaults: {stream: {mode: window, window: 64 tokens, holdback: %d characters}}\n"


def codes(detector: str, rule: str, defaults: str = "") -> set[str]:
    text = document(f"- {{id: own, {rule}}}", detectors=f"d: {detector}", defaults=defaults, watch=False)
    return {one.code for one in lint(text.encode(), "p.yaml")}


BLOCK = "on: [user], when: {d: {%s}}, do: {block: {code: x, message: no}}"
UNSAFE = BLOCK % "unsafe: true"
HAZARD, KEYS = "{use: starter_hazard, threshold: 0.5%s}", "{use: secrets, find: [password_assignment]}"
REDACT = 'on: [%s], when: {d: {count: {gte: 1}}}, do: {redact: {as: "%s"}}'


@pytest.mark.parametrize(
    ("code", "found", "near"),
    [
        ("extreme-threshold", ("{use: starter_hazard, threshold: 0}", UNSAFE), (HAZARD % "", UNSAFE)),
        ("extreme-threshold", ("{use: starter_hazard, threshold: 1.0}", UNSAFE), (HAZARD % "", UNSAFE)),
        (
            "extreme-threshold",
            (HAZARD % ", categories: {S9: 1}", UNSAFE),
            ("{use: starter_hazard}", BLOCK % "score: {gte: 0.5}"),
        ),
        (
            "uncalibrated",
            (HAZARD % "" + "  # THRESHOLD: uncalibrated default", UNSAFE),
            (HAZARD % "" + "  # THRESHOLD: uncalibrated default", BLOCK % "score: {gte: 0.7}"),
        ),
        ("shadow-only", (HAZARD % "", "mode: shadow, " + UNSAFE), (HAZARD % "", UNSAFE)),
        ("breaks-json", (KEYS, REDACT % ("tool_call", '\\"x\\"')), (KEYS, REDACT % ("tool_call", "[x]"))),
        ("breaks-json", (KEYS, REDACT % ("tool_call", "a\\nb")), (KEYS, REDACT % ("user", "a\\nb"))),
        (
            "found-again",
            ("{use: regex, pattern: 'x+y'}", REDACT % ("user", "[xxy removed]")),
            ("{use: regex, pattern: 'x+y'}", REDACT % ("user", "[{label} removed]")),
        ),
        (
            "found-again",
            ("{use: regex, pattern: 'mat.h', label: match}", REDACT % ("user", "[{label}]")),
            ("{use: regex, pattern: 'mat.h', label: other}", REDACT % ("user", "[{label}]")),
        ),
    ],
)
def test_each_check_finds_its_example_and_not_the_near_miss(
    code: str, found: tuple[str, str], near: tuple[str, str]
) -> None:
    assert code in codes(*found)
    assert code not in codes(*near)


@pytest.mark.parametrize(("holdback", "is_found"), [(16, True), (256, False)])
def test_a_holdback_has_to_keep_the_name_of_a_secret_until_its_value_comes(holdback: int, is_found: bool) -> None:
    assert ("short-holdback" in codes(KEYS, REDACT % ("output", "x"), WINDOW % holdback)) is is_found
    assert "short-holdback" not in codes(KEYS, REDACT % ("user", "x"), WINDOW % holdback)
    assert "short-holdback" not in codes(KEYS, REDACT % ("output", "x"))
