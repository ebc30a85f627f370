"""`defaults.audit` says whether text is kept; what it does not say is not kept."""

from __future__ import annotations

import pytest

from policies.changes import Effect
from policies.errors import FileErrors, Problems
from policies.fields import Section
from policies.keeping import Keeping, diff_keeping, keeping_form, read_keeping
from policies.yaml_strict import parse


def read(text: str) -> Keeping:
    problems = Problems()
    section = Section.open(parse(text.encode(), "policy.yaml", problems), "`defaults`", problems, ("audit",))
    assert section is not None
    keeping = read_keeping(section)
    problems.raise_if_any()
    return keeping


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Keeping()),
        ("{audit: {content: none}}", Keeping()),
        ("{audit: {content: sealed}}", Keeping("sealed", "default")),
        ("{audit: {content: sealed, retention: hipaa-6y}}", Keeping("sealed", "hipaa-6y")),
        ("{audit: {content: none, ack: before_upstream, progress: before_release}}", Keeping()),
        ("{audit: {content: none, sinks: {require: 2}}}", Keeping(sinks=2)),
    ],
)
def test_what_is_kept(text: str, expected: Keeping) -> None:
    assert read(text) == expected
    assert expected.keeps == ("sealed" in text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{audit: {retention: hipaa-6y}}", "no `content`"),
        ("{audit: {content: clear}}", "one of `none`, `sealed`"),
        ("{audit: {content: none, retention: x}}", "no meaning"),
        ("{audit: {content: sealed, retention: Up/x}}", "a retention class"),
        ("{audit: {content: sealed, ack: afterwards}}", "`ack` is `afterwards`, expected `before_upstream`"),
        ("{audit: {content: none, progress: never}}", "`progress` is `never`, expected `before_release`"),
        ("{audit: {content: none, sinks: {}}}", "`sinks` has no `require`"),
        ("{audit: {content: none, sinks: {require: 0}}}", "expected a whole number 1 to 9"),
        ("{audit: sealed}", "expected a mapping"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(FileErrors, match=told):
        read(text)


def test_a_policy_that_keeps_nothing_has_the_digest_it_always_had() -> None:
    assert keeping_form(Keeping()) == {}
    assert keeping_form(Keeping("sealed", "a")) != keeping_form(Keeping("sealed", "b"))


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (Keeping(), Keeping("sealed", "a"), Effect.STRONGER),
        (Keeping("sealed", "a"), Keeping(), Effect.WEAKER),
        (Keeping("sealed", "a"), Keeping("sealed", "b"), Effect.WEAKER),
    ],
)
def test_what_is_kept_less_is_weaker(before: Keeping, after: Keeping, effect: Effect) -> None:
    [change] = diff_keeping(before, after)
    assert change.effect is effect
    assert diff_keeping(after, after) == []


def test_records_in_fewer_places_are_weaker() -> None:
    assert [one.effect for one in diff_keeping(Keeping(sinks=2), Keeping())] == [Effect.WEAKER]
    assert [one.effect for one in diff_keeping(Keeping(), Keeping(sinks=2))] == [Effect.STRONGER]
    assert keeping_form(Keeping(sinks=2)) == {"sinks": 2}
