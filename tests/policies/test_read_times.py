"""Days, and risks that somebody accepts until one."""

from __future__ import annotations

import datetime

import pytest

from policies.load import parse_policy
from policies.model import Mode, Risk
from policies.read_times import day_of
from tests.policies.build import document, policy_of, problems_of

ACCEPTED = "accept_risk: {by: ciso@bank.example, ticket: RISK-12, until: 2026-12-31}"
END = int(datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC).timestamp())


def test_a_day_counts_to_its_end() -> None:
    rule = policy_of("- {id: r, on: [user], do: flag, mode: off, until: 2026-12-31}").rules[0]
    assert (rule.mode, rule.until, day_of(END)) == (Mode.OFF, END, "2026-12-31")
    assert [rule.acts(at) for at in (END - 1, END, None)] == [False, True, True]


def test_open_names_who_accepts_it() -> None:
    risk = Risk("ciso@bank.example", "RISK-12", END)
    policy = policy_of(
        f"- {{id: r, on: [user], when: {{inject: {{unsafe: true}}}}, do: flag, on_error: open, {ACCEPTED}}}",
        defaults=f"defaults: {{on_error: open, {ACCEPTED}}}\n",
    )
    assert (policy.rules[0].on_error, policy.rules[0].risk) == ("open", risk)
    assert (policy.on_error, policy.risk) == ("open", risk)


def test_who_accepts_a_risk_is_part_of_what_the_policy_means() -> None:
    def digest(more: str) -> str:
        return parse_policy(document(f"- {{id: r, on: [user], do: allow{more}}}").encode(), "p").digest

    found = [digest(more) for more in ("", ", on_error: closed", f", on_error: open, {ACCEPTED}")]
    found.append(digest(f", on_error: open, {ACCEPTED.replace('12-31', '12-30')}"))
    assert found[0] == found[1]
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("mode: off", "a rule that is `off` needs the day `until` which it is"),
        ("until: 2026-12-31", "`until` needs `mode: off` or `mode: shadow`"),
        ("mode: off, until: tomorrow", "`until` is `tomorrow`, expected a day such as `2026-12-31`"),
        ("mode: off, until: 2026-02-30", "`until` is `2026-02-30`, expected a day such as `2026-12-31`"),
        ("mode: off, until: 2026", "`until` is `2026`, expected a day such as `2026-12-31`"),
        ("on_error: open", "`on_error: open` needs `accept_risk` beside it"),
        (ACCEPTED, "`accept_risk` needs `on_error: open` beside it"),
        ("on_error: open, accept_risk: {by: x, until: 2026-12-31}", "`accept_risk` has no `ticket`"),
        ("on_error: open, accept_risk: {by: x, ticket: T, untl: 2026-12-31}", "`accept_risk` has no `until`"),
    ],
)
def test_what_has_no_end_or_no_name_does_not_load(rule: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in problems_of(f"- {{id: r, on: [user], do: flag, {rule}}}"))
